"""Histograms of oriented gradients for maetoolkit: what MaskFeat predicts instead of pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maetoolkit.plugins import hookimpl
from maetoolkit_hog.hog import HOG

if TYPE_CHECKING:
    from maetoolkit.model.target import TargetDescription

__all__ = ["HOG"]

MAETOOLKIT_API = 1


@hookimpl
def maetoolkit_targets() -> Mapping[str, type[TargetDescription]]:
    """What recipes call `teacher: {type: hog}`, in an entry of type `features`."""
    return {"hog": HOG}


@hookimpl
def maetoolkit_recipes() -> Mapping[str, Path]:
    """The YAML files beside this one, by stem."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}


@hookimpl
def maetoolkit_cases() -> Mapping[str, Callable[[], Any]]:
    """What the laws are tried on."""
    from maetoolkit_hog import cases

    return {"colour": cases.colour, "depth": cases.depth}
