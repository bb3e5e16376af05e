"""Where chosen patches sit: coordinates gathered by flat index, then embedded."""

from __future__ import annotations

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
