"""How samples of unequal length should attend without a GPU: grouped, each by itself, or all padded to the longest.

Run: `uv run python benchmarks/ragged.py [--rounds N]`
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from interleave import interleave, provenance, table
from torch import Tensor

from maetoolkit.layers import attention, ragged
from maetoolkit.tokens import Segments

CASES = (  # samples, heads, head width, shortest, longest, dtype
    (32, 6, 64, 20, 130, torch.float32),
    (32, 6, 64, 20, 130, torch.bfloat16),
    (64, 12, 64, 10, 110, torch.float32),
    (64, 4, 32, 5, 60, torch.float32),
)
Attend = Callable[[Tensor, Tensor, Tensor, Segments], Tensor]


def each_alone(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    """One product per sample."""
    parts = zip(*(x.split(segments.lengths) for x in (q, k, v)), strict=True)
    dense = attention._softmax if q.dtype == torch.bfloat16 else attention._sdpa
    return torch.cat([dense(*(x[None] for x in part))[0] for part in parts])


def grouped(waste: float) -> Attend:
    """Padded groups whose lengths differ by at most a factor; found once, as the layers of a model share them."""
    found: dict[Segments, object] = {}

    def call(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
        if segments not in found:
            before, ragged.WASTE = ragged.WASTE, waste
            found[segments] = ragged.grouping.__wrapped__(segments, segments)
            ragged.WASTE = before
        with patch.object(attention, "grouping", lambda queries, keys: found[segments]):
            dense = attention._softmax if q.dtype == torch.bfloat16 else attention._sdpa
            return attention._grouped(dense, q, k, v, segments, segments)

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    parts = ["# Attention of unequal lengths\n"]
    parts.append(f"{provenance('python ' + ' '.join([Path(sys.argv[0]).name, *sys.argv[1:]]))}\n")
    ways: dict[str, Attend] = {f"groups within {waste}": grouped(waste) for waste in (1.2, 1.5, 2.0)}
    ways |= {"all padded": grouped(1e9), "each alone": each_alone}
    for num, heads, width, low, high, dtype in CASES:
        lengths = np.random.default_rng(0).integers(low, high + 1, num)
        segments = Segments(tuple(lengths.tolist()))
        same = Segments((segments.total // num,) * num)
        made = {
            s: [torch.randn(s.total, heads, width, dtype=dtype, requires_grad=True) for _ in "qkv"]
            for s in (segments, same)
        }

        def call(way: Attend, own: Segments, made: dict[Segments, list[Tensor]] = made) -> None:
            way(*made[own], own).float().sum().backward()

        calls = {name: (lambda way=way: call(way, segments)) for name, way in ways.items()}  # noqa: B023
        calls["as many tokens, equal lengths"] = lambda: call(ways["groups within 1.5"], same)  # noqa: B023
        shape = f"{heads} heads of {width}, {dtype}, forward and backward"
        parts.append(f"## {num} samples of {low} to {high} tokens, {shape}\n")
        parts.append(table(interleave(calls, args.rounds), "groups within 1.5") + "\n")
        print(*parts[-2:], sep="\n", flush=True)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "ragged.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
