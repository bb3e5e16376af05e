"""The one place that decides how packed tokens attend. Axes: T query tokens, S key tokens, H heads, C head width."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from maetoolkit.layers.ragged import grouping
from maetoolkit.tokens import Segments

if TYPE_CHECKING:
    import numpy as np

Backend = Literal["auto", "xformers", "varlen", "sdpa", "softmax"]

SHORT = 256  # below this many keys plain softmax beats the fused CPU kernel in bf16, whose backward is slow there


def attend(
    q: Float[Tensor, "T H C"],
    k: Float[Tensor, "S H C"],
    v: Float[Tensor, "S H C"],
    queries: Segments,
    keys: Segments,
    backend: Backend = "auto",
) -> Float[Tensor, "T H C"]:
    """Softmax attention in which the tokens of a sample see the keys of that sample alone.

    Samples without keys get zeros. Raises ValueError where `backend` cannot run on this device and dtype; without
    gradients (looking at a model, perhaps on another machine than it was trained on) one that can is used instead.
    """
    free = backend == "auto" or not (torch.is_grad_enabled() or usable(backend, q))
    chosen = choose(q, keys) if free else require(backend, q)
    rectangular = queries.uniform is not None and keys.uniform is not None
    if 0 not in keys.lengths:  # those kernels say nothing of samples without keys
        if chosen == "xformers":
            return _xformers(q, k, v, queries, keys)
        if chosen == "varlen" and not rectangular:
            return _varlen(q, k, v, queries, keys)
    dense = _softmax if chosen == "softmax" else _sdpa
    if rectangular:
        return _uniform(dense, q, k, v, len(queries))
    ragged = _each_alone if q.device.type == "cpu" and q.dtype == torch.float32 else _grouped
    return ragged(dense, q, k, v, queries, keys)


def choose(q: Tensor, keys: Segments) -> Backend:
    """The backend for a device, dtype and length, from measurements (`benchmarks/attention.py` repeats them)."""
    if q.is_cuda:
        half = q.dtype in (torch.float16, torch.bfloat16)
        if half and xformers_ops() is not None:
            return "xformers"
        return "varlen" if half else "sdpa"
    longest = max(keys.lengths, default=0)
    return "softmax" if q.dtype == torch.bfloat16 and longest <= SHORT else "sdpa"


def pads(backend: Backend, device: str, half: bool) -> bool:
    """Whether samples of unequal length attend in padded groups, with such a device and precision."""
    if device == "cuda":
        return backend in ("sdpa", "softmax") or (backend == "auto" and not half)
    return half


def usable(backend: Backend, q: Tensor) -> bool:
    """Whether `require` would accept the backend."""
    try:
        require(backend, q)
    except ValueError:
        return False
    return True


def require(backend: Backend, q: Tensor) -> Backend:
    """The backend asked for, or ValueError saying why this device cannot run it."""
    if backend in ("xformers", "varlen") and not q.is_cuda:
        raise ValueError(
            f"encoder.attention: {backend!r} needs a CUDA device, found {q.device.type}; use 'auto' or 'sdpa'"
        )
    if backend == "xformers" and xformers_ops() is None:
        raise ValueError("encoder.attention: 'xformers' is not installed or cannot be imported; use 'auto' or 'varlen'")
    if backend == "varlen" and q.dtype == torch.float32:
        raise ValueError(
            "encoder.attention: 'varlen' needs half precision, found float32; set precision bf16 or use 'auto'"
        )
    return backend


def attention_weights(
    q: Float[Tensor, "T H C"], k: Float[Tensor, "S H C"], queries: Segments, keys: Segments
) -> list[Float[Tensor, "H T S"]]:
    """The weights themselves, one tensor per sample, for figures; the same numbers `attend` uses."""
    pairs = zip(q.split(queries.lengths), k.split(keys.lengths), strict=True)
    return [(_heads(a) @ _heads(b).mT * q.shape[-1] ** -0.5).softmax(-1) for a, b in pairs]


def _heads(x: Tensor) -> Tensor:
    return rearrange(x, "... t h c -> ... h t c")


def _sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    return _heads(F.scaled_dot_product_attention(_heads(q), _heads(k), _heads(v), attn_mask=mask))


def _softmax(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    scores = (_heads(q) * q.shape[-1] ** -0.5) @ _heads(k).mT
    weights = (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1)
    return _heads(weights.to(v.dtype) @ _heads(v))


def _uniform(dense: Any, q: Tensor, k: Tensor, v: Tensor, num_samples: int) -> Tensor:
    if not len(k):
        return torch.zeros_like(q) + q * 0
    fold = [rearrange(x, "(b t) h c -> b t h c", b=num_samples) for x in (q, k, v)]
    return rearrange(dense(*fold), "b t h c -> (b t) h c")


def _each_alone(dense: Any, q: Tensor, k: Tensor, v: Tensor, queries: Segments, keys: Segments) -> Tensor:
    """One product per sample: exact, no padding, and fastest where the kernel likes no mask (float32 on a CPU)."""
    parts = zip(q.split(queries.lengths), k.split(keys.lengths), v.split(keys.lengths), strict=True)
    outs = [dense(a[None], b[None], c[None])[0] if len(a) and len(b) else torch.zeros_like(a) for a, b, c in parts]
    return torch.cat([*outs, q[:0]])  # there may be no sequence at all


def _grouped(dense: Any, q: Tensor, k: Tensor, v: Tensor, queries: Segments, keys: Segments) -> Tensor:
    """Samples of about equal lengths attend together, the shorter ones padded and masked; only attention has filler."""
    groups, back = grouping(queries, keys)
    parts = []
    for group in groups:
        mask = None if group.real is None else torch.tensor(group.real, device=q.device)[:, None, None]
        part = dense(_padded(q, group.queries), _padded(k, group.keys), _padded(v, group.keys), mask)
        parts.append(part.flatten(0, 1))
    out = torch.cat([*parts, q.new_zeros(1, *q.shape[1:], dtype=v.dtype)])  # the last row is for samples without keys
    return out.index_select(0, torch.tensor(back, device=q.device))


def _padded(x: Float[Tensor, "T H C"], rows: np.ndarray) -> Float[Tensor, "B L H C"]:
    return x.index_select(0, torch.tensor(rows.ravel(), device=x.device)).unflatten(0, rows.shape)


def _varlen(q: Tensor, k: Tensor, v: Tensor, queries: Segments, keys: Segments) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    longest = max(queries.lengths), max(keys.lengths)
    out: Any = varlen_attn(q, k, v, _offsets(queries, q.device), _offsets(keys, q.device), *longest)
    return out


def _offsets(segments: Segments, device: torch.device) -> Tensor:
    lengths = torch.tensor((0, *segments.lengths), dtype=torch.int32)
    return lengths.cumsum(0, dtype=torch.int32).to(device, non_blocking=True)


def _xformers(q: Tensor, k: Tensor, v: Tensor, queries: Segments, keys: Segments) -> Tensor:
    ops = xformers_ops()
    if queries.uniform is not None and keys.uniform is not None:
        return _uniform(ops.memory_efficient_attention, q, k, v, len(queries))
    bias = ops.fmha.BlockDiagonalMask.from_seqlens(list(queries.lengths), list(keys.lengths))
    out: Tensor = ops.memory_efficient_attention(q[None], k[None], v[None], attn_bias=bias)[0]
    return out


def xformers_ops() -> Any:
    """`xformers.ops`, imported when first chosen (it takes seconds), or None where it cannot be used."""
    if "ops" not in _loaded:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it says that its own kernels were built for an older torch
                import xformers.ops as ops
            _loaded["ops"] = ops
        except (ImportError, OSError, RuntimeError):
            _loaded["ops"] = None
    return _loaded["ops"]


_loaded: dict[str, Any] = {}
