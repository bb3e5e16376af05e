from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from maetoolkit.plugins import installed
from maetoolkit.train import needed


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[Any]], None]]:
    """Pretend that these entry points, and no others, are installed."""

    def these(found: list[Any]) -> None:
        monkeypatch.setattr(installed, "entry_points", lambda: found)
        installed._cached.cache_clear()
        needed._warn.cache_clear()

    for name in (installed.ALLOW, installed.BLOCK):
        monkeypatch.delenv(name, raising=False)
    yield these
    installed._cached.cache_clear()
