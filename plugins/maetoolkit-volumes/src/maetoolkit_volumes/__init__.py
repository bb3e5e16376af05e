"""Volumes for maetoolkit: scans cut into blocks, one modality per channel, and labels of their voxels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maetoolkit.plugins import hookimpl
from maetoolkit_volumes.labels import VolumeLabels
from maetoolkit_volumes.volume import Volume

if TYPE_CHECKING:
    from maetoolkit.modality import Modality

__all__ = ["Volume", "VolumeLabels"]

MAETOOLKIT_API = 1


@hookimpl
def maetoolkit_modalities() -> Mapping[str, type[Modality]]:
    """What recipes call `type: volume` and `type: volume_labels`."""
    return {"volume": Volume, "volume_labels": VolumeLabels}


@hookimpl
def maetoolkit_recipes() -> Mapping[str, Path]:
    """A recipe that two CPU cores can train, and one for four MRI channels."""
    folder = Path(__file__).parent / "recipes"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


@hookimpl
def maetoolkit_cases() -> Mapping[str, Callable[[], Any]]:
    """What the laws are tried on."""
    from maetoolkit_volumes import cases

    return {
        "scan": cases.scan,
        "channels": cases.channels,
        "labels": cases.labels,
        "padded_scan": cases.padded_scan,
        "padded_labels": cases.padded_labels,
    }
