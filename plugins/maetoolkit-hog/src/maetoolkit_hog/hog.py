"""HOG: histograms of oriented gradients as a target (MaskFeat, Wei et al. 2022; Dalal and Triggs 2005)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import PositiveInt, model_validator

from maetoolkit.modalities.grid import Extent
from maetoolkit.model.target import TargetDescription

if TYPE_CHECKING:
    from maetoolkit.model.autoencoder import MaskedAutoencoder
    from maetoolkit.model.teacher import Teacher


class HOG(TargetDescription):
    """How strong the gradient is in each of `bins` directions, per channel and cell of `cell` pixels.

    A direction and its opposite are one. Histograms are made on the whole image and each has unit length; a token's
    features are those of its cells (MaskFeat). `patch` and `channels` are those of the entry whose
    features these are: they say how wide the features are before anything is built.
    """

    type: Literal["hog"] = "hog"
    bins: PositiveInt = 9
    cell: Extent = (8,)
    patch: Extent = (16,)
    channels: PositiveInt = 3

    @model_validator(mode="after")
    def _divides(self) -> HOG:
        for name, extent in (("cell", self.cell), ("patch", self.patch)):
            if len(extent) > 2:
                raise ValueError(f"{name}: expected 1 or 2 numbers, found {list(extent)}")
        rest = [(patch, cell) for patch, cell in zip(both(self.patch), both(self.cell), strict=True) if patch % cell]
        for patch, cell in rest:
            raise ValueError(f"cell: {cell} does not divide the patch of {patch}; use a divisor of {patch}")
        return self

    @property
    def num_cells(self) -> tuple[int, int]:
        """Cells of a patch, down and across."""
        (height, width), (down, across) = both(self.patch), both(self.cell)
        return height // down, width // across

    def width(self, encoder_dim: int) -> int:
        """Numbers per token: one per cell, channel and bin."""
        rows, columns = self.num_cells
        return rows * columns * self.channels * self.bins

    def build(self, model: MaskedAutoencoder, entry: str) -> Teacher:
        """What computes them. Raises ConfigError where `entry` is no image of this patch and number of channels."""
        from maetoolkit_hog.histograms import Histograms

        return Histograms(self, model.modalities[entry], entry)


def both(extent: tuple[int, ...]) -> tuple[int, int]:
    """Height and width, of one number or two."""
    return extent[0], extent[-1]
