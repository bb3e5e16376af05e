"""Initial values of weights."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


@torch.no_grad()
def xavier_(linear: nn.Linear, parts: int = 1) -> nn.Linear:
    """Xavier-uniform weights and zero bias; a matrix that stacks `parts` maps (q, k, v) is drawn as if they were apart.

    Glorot and Bengio 2010, equation 16.
    """
    bound = math.sqrt(6 / (linear.out_features / parts + linear.in_features))
    nn.init.uniform_(linear.weight, -bound, bound)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


def initialise_(module: Module, separate_qkv: bool) -> Module:
    """Xavier for every linear map below `module`, 1 and 0 for its norms.

    `separate_qkv` draws stacked query, key and value maps as if they were apart (MultiMAE) or as one matrix (MAE).
    """
    for name, child in module.named_modules():
        if isinstance(child, nn.Linear):
            stacked = {"qkv": 3, "kv": 2}.get(name.rsplit(".", 1)[-1], 1)
            xavier_(child, stacked if separate_qkv else 1)
        elif isinstance(child, nn.LayerNorm):
            nn.init.ones_(child.weight)
            nn.init.zeros_(child.bias)
    return module


def token(*shape: int, std: float = 0.02) -> nn.Parameter:
    """A learned token, drawn from a normal distribution truncated at two units (0 where `std` is 0)."""
    value: Tensor = torch.zeros(*shape)
    return nn.Parameter(nn.init.trunc_normal_(value, std=std) if std else value)
