"""How `maetool plugins check hog` tries what this plugin offers: colour, and depth with holes in it."""

from __future__ import annotations

from maetoolkit.testing import TargetCase
from maetoolkit_hog.hog import HOG


def colour() -> TargetCase:
    """Four cells of three channels per token, on an image that is not square."""
    return TargetCase(HOG())


def depth() -> TargetCase:
    """Cells that are not square, where a quarter of the pixels is missing."""
    import torch

    from maetoolkit.modalities.image import Depth
    from maetoolkit.randomness import generator

    draw = generator("cases", "depth")
    values = draw.random((3, 1, 16, 24)) * (draw.random((3, 1, 16, 24)) < 0.75)
    entry = Depth(size=(16, 24), patch=(8, 12))
    return TargetCase(HOG(cell=(4, 6)), entry, torch.from_numpy(values).float())
