"""Intensities on one range. Axes: B samples, C channels; the others are voxels."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

RELATIVE = 1e-6  # a spread below this part of the mean is rounding, not contrast


def rescaled(
    values: Float[Tensor, "B C ..."],
    counted: Bool[Tensor, "B C ..."],
    how: str | None,
    shares: tuple[float, float],
) -> Float[Tensor, "B C ..."]:
    """Every channel of every sample by what is found at its `counted` voxels; multiplying a scan changes nothing.

    "zscore": mean 0 and deviation 1 there; "percentile": -1 and 1 at two shares of the ranks, clipped; None: as it is.
    A channel without counted voxels, or without contrast, becomes flat.
    """
    if how is None:
        return values
    flat, used = values.flatten(2), counted.flatten(2)
    low, high = _spread(flat, used) if how == "zscore" else _quantiles(flat, used, shares)
    middle, radius = (low + high) / 2, (high - low) / 2
    smallest = RELATIVE * torch.maximum(low.abs(), high.abs())
    found = (flat - middle) / torch.maximum(radius, smallest).clamp(min=torch.finfo(flat.dtype).tiny)
    found = found.clamp(-1, 1) if how == "percentile" else found
    return found.where(used.any(2, keepdim=True), 0.0).view_as(values)


def _spread(flat: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
    """Mean minus and plus deviation."""
    num = used.sum(2, keepdim=True).clamp(min=1)
    mean = flat.where(used, 0.0).sum(2, keepdim=True) / num
    deviation = ((flat - mean).where(used, 0.0).square().sum(2, keepdim=True) / num).sqrt()
    return mean - deviation, mean + deviation


def _quantiles(flat: Tensor, used: Tensor, shares: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """The values at two shares of the ranks (torch.quantile takes no more than 16 million values)."""
    ordered = flat.where(used, torch.inf).sort(2).values
    last = (used.sum(2, keepdim=True) - 1).clamp(min=0)
    low, high = (ordered.gather(2, (last * share).round().long()) for share in shares)
    return low, high
