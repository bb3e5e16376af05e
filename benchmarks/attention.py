"""Which attention is fastest here: forward and backward of one ViT-B layer's worth, by length and precision.

Run: `uv run python benchmarks/attention.py [--rounds N]`
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from interleave import interleave, provenance, table

from maetoolkit.layers.attention import attend
from maetoolkit.tokens import Segments

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BACKENDS = ["sdpa", "softmax", *(["xformers", "varlen"] if DEVICE == "cuda" else [])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    parts = [f"# Attention\n\n{provenance('python ' + ' '.join([Path(sys.argv[0]).name, *sys.argv[1:]]))}\n"]
    for dtype in (torch.float32, torch.bfloat16):
        for length in (50, 99, 197):
            segments = Segments((length,) * 16)
            q, k, v = (
                torch.randn(segments.total, 12, 64, device=DEVICE, dtype=dtype, requires_grad=True) for _ in "qkv"
            )
            usable = [b for b in BACKENDS if not (b == "varlen" and dtype == torch.float32)]
            calls = {b: (lambda b=b: attend(q, k, v, segments, segments, b).sum().backward()) for b in usable}  # noqa: B023
            parts.append(f"## {length} tokens, batch 16, {dtype}\n\n{table(interleave(calls, args.rounds), 'sdpa')}\n")
            print(parts[-1], flush=True)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "attention.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
