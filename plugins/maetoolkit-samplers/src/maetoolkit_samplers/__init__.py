"""Two mask samplers from outside: filtered noise (ColorMAE) and patches that are hard to reconstruct (HPM)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from maetoolkit.plugins import hookimpl
from maetoolkit_samplers.colour_noise import ColourNoise
from maetoolkit_samplers.hard_patches import HardPatches

if TYPE_CHECKING:
    from maetoolkit.masking import Masking

__all__ = ["ColourNoise", "HardPatches"]

MAETOOLKIT_API = 1


@hookimpl
def maetoolkit_samplers() -> Mapping[str, type[Masking]]:
    """What recipes call `masking.type: colour_noise` and `hard_patches`."""
    return {"colour_noise": ColourNoise, "hard_patches": HardPatches}
