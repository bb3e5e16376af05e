"""Position embeddings of patches on a regular grid. Axes: T tokens, N grid cells, D width."""

from __future__ import annotations

import math
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

Order = Literal["row_first", "column_first"]
Interpolation = Literal["linear", "bicubic"]


def sincos(coordinates: Float[Tensor, "N axes"], dim: int, order: Order = "row_first") -> Float[Tensor, "N D"]:
    """Fixed sine-cosine embedding of coordinates: equal parts of `dim` per axis, each [sin, cos].

    `row_first` puts the slowest axis first (MultiMAE), `column_first` the fastest (MAE, M3AE).
    Frequencies are 10000^(-k / (part/2)) (Vaswani et al. 2017, section 3.5, per axis).
    Raises ValueError where `dim` cannot be divided among the axes.
    """
    num_axes = coordinates.shape[1]
    if dim % (2 * num_axes):
        raise ValueError(
            f"sine-cosine positions on {num_axes} axes need a width that is a multiple of {2 * num_axes}, found {dim}"
        )
    half = dim // num_axes // 2
    frequencies = 10000.0 ** -(torch.arange(half, dtype=torch.float64) / half)
    axes = coordinates.double().unbind(1) if order == "row_first" else coordinates.double().flip(1).unbind(1)
    angles = [axis[:, None] * frequencies for axis in axes]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1).float()


def grid_coordinates(grid: tuple[int, ...]) -> Int[Tensor, "N axes"]:
    """Coordinates of all cells of a grid in raster order."""
    return torch.cartesian_prod(*[torch.arange(n) for n in grid]).reshape(math.prod(grid), len(grid))


def resize_table(
    table: Float[Tensor, "N D"], old: tuple[int, ...], new: tuple[int, ...], interpolation: Interpolation
) -> Float[Tensor, "M D"]:
    """Interpolate a position table from one grid to another; the same grid returns the table itself."""
    if old == new:
        return table
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(old)] if interpolation == "linear" else interpolation
    image = rearrange(table.reshape(*old, -1), "... d -> 1 d ...")
    resized = F.interpolate(image, size=new, mode=mode, align_corners=False)
    return rearrange(resized, "1 d ... -> (...) d")


class GridPosition(nn.Module):
    """Embeds positions on a grid, fixed (sine-cosine) or learned, interpolated where the grid is another one."""

    table: Tensor

    def __init__(
        self,
        dim: int,
        grid: tuple[int, ...],
        *,
        learned: bool = False,
        order: Order = "row_first",
        interpolation: Interpolation = "bicubic",
    ) -> None:
        super().__init__()
        self.grid, self.interpolation = tuple(grid), interpolation
        if learned:
            self.table = nn.Parameter(nn.init.trunc_normal_(torch.empty(math.prod(grid), dim), std=0.02))
        else:
            self.register_buffer("table", sincos(grid_coordinates(self.grid), dim, order))

    def forward(self, positions: Int[Tensor, "T axes"], grid: tuple[int, ...]) -> Float[Tensor, "T D"]:
        """Embeddings of cells `positions` of `grid`."""
        table = resize_table(self.table, self.grid, tuple(grid), self.interpolation)
        index = positions[:, 0]
        for axis, size in enumerate(grid[1:], start=1):
            index = index * size + positions[:, axis]
        return table.index_select(0, index)
