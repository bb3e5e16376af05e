"""Video for maetoolkit: clips cut into tubelets, and the mask by which a decoder decodes half of what is hidden."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maetoolkit.plugins import hookimpl
from maetoolkit_video.running_cell import RunningCell
from maetoolkit_video.video import Video

if TYPE_CHECKING:
    from maetoolkit.masking.sampler import Masking
    from maetoolkit.modality import Modality

__all__ = ["RunningCell", "Video"]

MAETOOLKIT_API = 1


@hookimpl
def maetoolkit_modalities() -> Mapping[str, type[Modality]]:
    """What recipes call `type: video`."""
    return {"video": Video}


@hookimpl
def maetoolkit_samplers() -> Mapping[str, type[Masking]]:
    """What recipes call `masking: {type: running_cell}`."""
    return {"running_cell": RunningCell}


@hookimpl
def maetoolkit_recipes() -> Mapping[str, Path]:
    """Recipes that two CPU cores can train."""
    folder = Path(__file__).parent / "recipes"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


@hookimpl
def maetoolkit_cases() -> Mapping[str, Callable[[], Any]]:
    """What the laws are tried on."""
    from maetoolkit_video import cases

    return {"colour": cases.colour, "depth": cases.depth, "running_cell": cases.running_cell}
