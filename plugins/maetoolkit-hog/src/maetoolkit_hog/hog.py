"""HOG: histograms of oriented gradients as a target (MaskFeat, Wei et al. 2022; Dalal and Triggs 2005)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import PositiveInt, field_validator

from maetoolkit.errors import ConfigError
from maetoolkit.modalities.grid import Extent, GridModality
from maetoolkit.model.target import TargetDescription

if TYPE_CHECKING:
    from maetoolkit.modality import Modality
    from maetoolkit.model.autoencoder import MaskedAutoencoder
    from maetoolkit.model.teacher import Teacher


class HOG(TargetDescription):
    """How strong the gradient is in each of `bins` directions, per channel and cell of `cell` pixels.

    A direction and its opposite are one. Histograms are made on the whole image and each has unit length; a token's
    features are those of its cells (MaskFeat).
    """

    type: Literal["hog"] = "hog"
    bins: PositiveInt = 9
    cell: Extent = (8,)

    @field_validator("cell")
    @classmethod
    def _flat(cls, cell: tuple[int, ...]) -> tuple[int, ...]:
        if len(cell) > 2:
            raise ValueError(f"expected 1 or 2 numbers, found {list(cell)}; give height and width, or one for both")
        return cell

    def num_cells(self, entry: Modality) -> tuple[int, int]:
        """Cells of a patch of `entry`, down and across.

        Raises ConfigError where it is no image, or cells do not fill its patches.
        """
        if not isinstance(entry, GridModality) or entry.num_axes != 2 or not entry.has_channels:
            kind = getattr(entry, "type", type(entry).__name__)
            raise ConfigError(f"teacher: hog needs images, and {kind!r} is none; give features of another entry")
        (height, width), (down, across) = entry.cell, both(self.cell)
        if height % down or width % across:
            fitting = [math.gcd(height, down), math.gcd(width, across)]
            raise ConfigError(
                f"teacher.cell: expected a divisor of the patch of {height} x {width}, found {down} x {across}; "
                f"set teacher.cell={fitting[0] if len(set(fitting)) == 1 else fitting}"
            )
        return height // down, width // across

    def width(self, encoder_dim: int, entry: Modality) -> int:
        """Numbers per token: one per cell, channel and bin."""
        rows, columns = self.num_cells(entry)
        return rows * columns * entry.content[0] * self.bins

    def build(self, model: MaskedAutoencoder, entry: str) -> Teacher:
        """What computes them."""
        from maetoolkit_hog.histograms import Histograms

        return Histograms(self, model.modalities[entry], entry)


def both(extent: tuple[int, ...]) -> tuple[int, int]:
    """Height and width, of one number or two."""
    return extent[0], extent[-1]
