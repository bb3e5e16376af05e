"""Trial: calling what a plugin brings with its owner at hand, so that whatever comes back wrong has one named error."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from maetoolkit.description import Description
from maetoolkit.errors import ConfigError, DataError
from maetoolkit.plugins import registry


@dataclass(frozen=True)
class Subject:
    """A description under trial: its place in the recipe (`modalities.infrared`), and its kind in the registry."""

    place: str
    kind: str
    description: Description

    @property
    def owner(self) -> str:
        """Whose it is, for messages."""
        plugin = self._plugin
        return f"{type(self.description).__name__} of {plugin.owner}" if plugin else type(self.description).__name__

    @property
    def _plugin(self) -> Any:
        kind = getattr(registry(), self.kind)
        name = str(getattr(self.description, "type", ""))
        return kind.owner(name) if name in kind and kind[name] is type(self.description) else None

    def call(self, method: str, function: Callable[..., Any], *given: Any, data: str = "") -> Any:
        """What a method returns. Raises ConfigError where it fails or changes what it was given in place.

        A DataError is what it is; where `data` names a sample, so is a ValueError.
        """
        before = [_copy(value) for value in given]
        try:
            found = function(*given)
        except (ConfigError, DataError):
            raise
        except Exception as error:
            if data and isinstance(error, ValueError):
                raise DataError(f"{data}: {error}") from error
            raise ConfigError(self.blame(f"{method} failed with {_told(error)}")) from error
        if not _same(before, [_copy(value) for value in given]):
            raise ConfigError(self.blame(f"{method} changed what it was given in place; expected something new"))
        return found

    def expect(self, method: str, good: object, expected: str, found: Any) -> None:
        """Raise ConfigError saying what a method returned, and what was expected, where that is not `good`."""
        if not good:
            raise ConfigError(self.blame(f"{method} returned {looks(found)}; expected {expected}"))

    def blame(self, what: str) -> str:
        """A message: the place, whose it is, what is wrong, and what to do about it."""
        plugin = self._plugin
        if plugin is None or plugin.builtin:
            return f"{self.place} ({self.owner}): {what}"
        return f"{self.place} ({self.owner}): {what}. `maetool plugins check {plugin.name}` says more"


class Said(str):
    """What was found, in words of the caller's."""


def looks(value: Any) -> str:
    """What something is, in a few words: `float32 (4, 16)`, `None`, `a list`."""
    if isinstance(value, Said):
        return value
    if isinstance(value, Tensor | np.ndarray):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, tuple):
        return f"({', '.join(looks(each) for each in value)})"
    return "None" if value is None else f"a {type(value).__name__}"


def _copy(value: Any) -> Any:
    """Tensors and arrays inside mappings, sequences and dataclasses, in lists that can be compared."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if is_dataclass(value) and not isinstance(value, type):
        return [_copy(getattr(value, each.name)) for each in fields(value)]
    if isinstance(value, Mapping):
        return [[key, _copy(item)] for key, item in value.items()]
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else None


def _same(a: Any, b: Any) -> bool:
    """Whether two such copies hold the same bits, NaN included."""
    if isinstance(a, Tensor | np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _told(error: Exception) -> str:
    """An error in one line, with the line of code that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    return " ".join(f"{type(error).__name__} ({where}): {error}".split())
