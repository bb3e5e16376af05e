"""Trial: calling what a plugin brings with its owner at hand, so that whatever comes back wrong has one named error."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
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

    def call(self, method: str, function: Callable[..., Any], *given: Any) -> Any:
        """What a method returns. Raises ConfigError where it fails or changes what it was given in place.

        A DataError is what it is: the data's fault.
        """
        before = [copy.deepcopy(_plain(value)) for value in given]
        try:
            found = function(*given)
        except DataError:
            raise
        except Exception as error:
            raise ConfigError(self.blame(f"{method} failed with {_told(error)}")) from error
        for number, (old, value) in enumerate(zip(before, given, strict=True)):
            if not _same(old, _plain(value)):
                what = "what it was given" if len(given) == 1 else f"argument {number + 1} of what it was given"
                raise ConfigError(self.blame(f"{method} changed {what} in place; expected that it returns something new"))
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


def looks(value: Any) -> str:
    """What something is, in a few words: `float32 (4, 16)`, `None`, `a list`."""
    if isinstance(value, Tensor | np.ndarray):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, tuple):
        return f"({', '.join(looks(each) for each in value)})"
    return "None" if value is None else f"a {type(value).__name__}"


def _plain(value: Any) -> Any:
    """Tensors and arrays inside mappings, sequences and dataclasses, as a list in which a change can be seen."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return [_plain(getattr(value, each.name)) for each in fields(value)]
    if isinstance(value, Mapping):
        return [(key, _plain(item)) for key, item in value.items()]
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else None


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and torch.equal(_bits(a), _bits(b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple):
        return isinstance(b, type(a)) and len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _bits(value: Tensor) -> Tensor:
    """NaN equal to themselves."""
    return torch.nan_to_num(value, nan=-1.2345e30) if value.is_floating_point() else value


def _told(error: Exception) -> str:
    """An error in one line, with the line of code that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    return " ".join(f"{type(error).__name__} ({where}): {error}".split())
