"""Plugins that are not installed, as the loader sees them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

from maetoolkit.plugins import hookimpl


class Entry:
    """An installed entry point."""

    def __init__(self, name: str, load: Callable[[], Any], distribution: str | None = None, version: str = "1.2"):
        self.name, self.value, self.load = name, name, load
        self.dist = SimpleNamespace(name=distribution or f"dist-{name}", version=version)


def module(**functions: Any) -> ModuleType:
    """A module with these functions as hooks, and anything else as it is."""
    made = ModuleType("fake_plugin")
    for name, value in functions.items():
        setattr(made, name, hookimpl(value) if callable(value) else value)
    return made


def offering(kind: str, value: Any) -> Callable[[], ModuleType]:
    """What imports a module that offers `value`."""
    return lambda: module(**{f"maetoolkit_{kind}": lambda: value})


def raising(error: BaseException) -> Callable[[], Any]:
    """What raises as it is imported."""

    def load_it() -> Any:
        raise error

    return load_it
