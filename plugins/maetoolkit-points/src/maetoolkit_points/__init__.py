"""Point clouds for maetoolkit: small groups of neighbouring points as tokens, scored by the Chamfer distance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maetoolkit.plugins import hookimpl
from maetoolkit_points.points import Points

if TYPE_CHECKING:
    from maetoolkit.modality import Modality

__all__ = ["Points"]

MAETOOLKIT_API = 1


@hookimpl
def maetoolkit_modalities() -> Mapping[str, type[Modality]]:
    """What recipes call `type: points`."""
    return {"points": Points}


@hookimpl
def maetoolkit_recipes() -> Mapping[str, Path]:
    """The YAML files beside this one, by stem."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}


@hookimpl
def maetoolkit_cases() -> Mapping[str, Callable[[], Any]]:
    """What the laws are tried on."""
    from maetoolkit_points import cases

    return {"overlapping": cases.overlapping, "disjoint": cases.disjoint}
