"""Where chosen patches sit: rows gathered and put back by flat index."""

from __future__ import annotations

import math

from jaxtyping import Float, Int
from torch import Tensor, nn

from maetoolkit.tokens import Patches


def positions_of(module: nn.Module, patches: Patches, index: Int[Tensor, "T"]) -> Float[Tensor, "T D"]:
    """Position embeddings of the patches with flat indices sample * N + token."""
    return module(gather(patches.positions, index), patches.grid)


def gather(values: Tensor, index: Int[Tensor, "T"]) -> Tensor:
    """Rows of (B, N, ...) by flat index; what all samples share (an expanded view) is not copied."""
    if values.stride(0) == 0:
        return values[0].index_select(0, index % values.shape[1])
    return values.flatten(0, 1).index_select(0, index)


def spread(values: Tensor, index: Int[Tensor, "T"], shape: tuple[int, ...]) -> Tensor:
    """Rows (T, ...) put in their places of (B, N, ...) by flat index, zero elsewhere; the way back of `gather`."""
    blank = values.new_zeros(math.prod(shape), *values.shape[1:])
    return blank.index_copy(0, index, values).unflatten(0, tuple(shape))
