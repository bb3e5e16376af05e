"""What computes histograms of oriented gradients. Axes: B samples, C channels, H W pixels, h w cells, K bins, N tokens.

There is nothing to learn and nothing drawn: features are a function of the pixels, the same in every process. All is
float32 or better, and every sum runs in one order, so that they are also the same to the bit when asked again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor

from maetoolkit.modalities.grid import GridModality
from maetoolkit.model.teacher import Teacher
from maetoolkit.tokens import map_tensors
from maetoolkit_hog.hog import both

if TYPE_CHECKING:
    from maetoolkit.modality import Modality
    from maetoolkit.tokens import Batch
    from maetoolkit_hog.hog import HOG

EPS = 1e-5  # mean gradient per pixel below which a cell counts as flat; a grey level of 8 bits is 4e-3 or more


class Histograms(Teacher):
    """A teacher without weights, for the images of one entry."""

    place: Tensor

    def __init__(self, settings: HOG, modality: Modality, entry: str) -> None:
        super().__init__()
        self.settings, self.modality, self.entry = settings, modality, entry
        self.num_cells = settings.num_cells(modality)
        self.register_buffer("place", torch.zeros(()), persistent=False)  # goes where the trainer puts the teacher

    def forward(self, batch: Batch) -> Float[Tensor, "B N D"]:
        """Features of all tokens; zeros in cells where nothing was measured."""
        field = map_tensors(batch.fields[self.entry], lambda tensor: tensor.to(self.place.device))
        grid, _ = self.modality.layout(field)
        assert grid is not None
        assert isinstance(self.modality, GridModality)
        prepared = self.modality.prepare(field)
        known = prepared.values.isfinite()
        if prepared.valid is not None:
            known = known & prepared.valid
        if field.present.ndim == 2:
            known = known & self.modality.elements(field.present, grid)
        found = histograms(prepared.values.float(), known, self.settings.bins, both(self.settings.cell))
        rows, columns = self.num_cells
        return rearrange(found, "b c (gh r) (gw s) k -> b (gh gw) (r s c k)", r=rows, s=columns)


def histograms(
    pixels: Float[Tensor, "B C H W"], known: Bool[Tensor, "B C H W"], bins: int, cell: tuple[int, int]
) -> Float[Tensor, "B C h w K"]:
    """Histograms of all cells, each of unit length, or zero where it is flat."""
    strength, direction = votes(pixels, known, bins)
    size = {"p": cell[0], "q": cell[1]}
    each = [
        reduce(strength.where(direction == k, 0.0), "b c (h p) (w q) -> b c h w", "mean", **size) for k in range(bins)
    ]
    found = torch.stack(each, dim=-1)
    return found / (found.square().sum(-1, keepdim=True) + EPS**2).sqrt()


def votes(
    pixels: Float[Tensor, "B C H W"], known: Bool[Tensor, "B C H W"], bins: int
) -> tuple[Float[Tensor, "B C H W"], Int[Tensor, "B C H W"]]:
    """How long each pixel's gradient is, and in which of the bins over half a turn its direction lies.

    Differences are those of the two neighbours, and 0 across the edge of the image. A pixel that is not known has no
    vote, nor have its neighbours, whose gradients it would make.
    """
    pixels, flat = pixels.where(known, 0.0), torch.zeros_like(pixels)
    across, down, counts = flat.clone(), flat.clone(), known.clone()
    across[..., 1:-1] = pixels[..., 2:] - pixels[..., :-2]
    down[..., 1:-1, :] = pixels[..., 2:, :] - pixels[..., :-2, :]
    counts[..., 1:-1] &= known[..., 2:] & known[..., :-2]
    counts[..., 1:-1, :] &= known[..., 2:, :] & known[..., :-2, :]
    turn = torch.atan2(down, across).remainder(math.pi) / math.pi
    return torch.hypot(across, down).where(counts, 0.0), (turn * bins).long().clamp(max=bins - 1)
