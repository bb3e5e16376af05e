"""Robust standardisation of depth. Axes: B samples, the rest are pixels."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor


def robust_standardize(
    values: Float[Tensor, "B ..."], valid: Bool[Tensor, "B ..."], trim: float, eps: float = 1e-6
) -> Float[Tensor, "B ..."]:
    """Standardise each sample by the mean and unbiased variance of its middle valid values; invalid ones become 0.

    Of n valid values, sorted, those at [int(trim n), int((1 - trim) n)) are used (MultiMAE, section 3.4).
    A sample with fewer than two of them has variance 0.
    """
    flat, ok = rearrange(values, "b ... -> b (...)"), rearrange(valid, "b ... -> b (...)")
    ordered = flat.where(ok, torch.inf).sort(dim=1).values
    num = ok.sum(1, keepdim=True, dtype=torch.float64)
    rank = torch.arange(flat.shape[1], device=flat.device)
    used = (rank >= (trim * num).floor()) & (rank < ((1 - trim) * num).floor())
    count = used.sum(1, keepdim=True)
    mean = ordered.where(used, 0.0).sum(1, keepdim=True) / count.clamp(min=1)
    deviation = (ordered - mean).where(used, 0.0)
    variance = deviation.square().sum(1, keepdim=True) / (count - 1).clamp(min=1)
    standard = (flat - mean) / (variance + eps).sqrt()
    return standard.where(ok, 0.0).reshape(values.shape)
