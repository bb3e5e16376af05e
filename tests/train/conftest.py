"""Fixtures of the tiny world; see `tiny_world`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_world import settings, write_samples

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_samples(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def recipe(pictures: Path, tmp_path: Path) -> Callable[..., Any]:
    """Builds a tiny recipe; arguments are overrides such as "steps=4"."""
    from maetoolkit.train.recipe import load_recipe

    def build(*overrides: str, run: str = "run", root: Path = pictures) -> Any:
        return load_recipe(settings(root, tmp_path / run), overrides)

    return build
