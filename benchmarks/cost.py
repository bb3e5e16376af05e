"""What modalities and unequal lengths cost: the encoder from 1 to 6 inputs, and a ragged step beside a rectangular one.

Run: `uv run python benchmarks/cost.py [--rounds N]`
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from interleave import interleave, provenance, table

from maetoolkit.masking import Dirichlet, MaskPlan
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import CrossDecoder, JointDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.tokens import Batch, Field

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH, TOKENS, BUDGET = 16, 196, 98
SMALL = ViT(dim=384, depth=12, heads=6)


def encoder_of(num: int) -> Callable[[], object]:
    """Forward and backward of tokenizers and encoder, with 98 visible tokens of `num` inputs."""
    names = [f"m{i}" for i in range(num)]
    modalities = ModalitySet(**{name: RGB() for name in names})
    model = MaskedAutoencoder(modalities, SMALL, CrossDecoder(), Dirichlet(num_visible=BUDGET)).to(DEVICE)
    ready = model.cut({name: torch.rand(BATCH, 3, 224, 224, device=DEVICE) for name in names})

    def call() -> None:
        model.encoder(model.embed(ready.patches, ready.route)).x.sum().backward()

    return call


def step_of(visible: np.ndarray, targets: np.ndarray, decoder: CrossDecoder | JointDecoder) -> Callable[[], object]:
    """A whole training step with so many visible and target tokens per sample."""
    model = MaskedAutoencoder(ModalitySet(m=RGB()), SMALL, decoder).to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    place = np.arange(TOKENS)
    plan = MaskPlan(
        {"m": torch.from_numpy(place < visible[:, None])},
        {"m": torch.from_numpy((place >= visible[:, None]) & (place < (visible + targets)[:, None]))},
    )
    field = Field.of(torch.rand(BATCH, 3, 224, 224, device=DEVICE))
    batch = model.planned(Batch({"m": field}, tuple(map(str, range(BATCH))), plan=plan))

    def call() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(batch).loss.backward()
        optimizer.step()

    return call


def unequal(total: int, low: int, high: int) -> np.ndarray:
    """Numbers of tokens per sample between `low` and `high`, of a given sum."""
    draw = np.random.default_rng(0)
    while True:
        numbers = draw.integers(low, high + 1, BATCH)
        numbers[-1] += total - numbers.sum()
        if low <= numbers[-1] <= high:
            return numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    parts = ["# Cost of modalities and of unequal lengths\n"]
    parts.append(f"{provenance('python ' + ' '.join([Path(sys.argv[0]).name, *sys.argv[1:]]))}\n")
    calls = {f"{num} inputs": encoder_of(num) for num in range(1, 7)}
    parts.append(f"## Encoder and tokenizers, {BUDGET} visible tokens, ViT-S, batch {BATCH}, forward and backward\n")
    parts.append(table(interleave(calls, args.rounds), "1 inputs") + "\n")
    print(parts[-1], flush=True)
    for name, decoder in (("cross", CrossDecoder()), ("joint", JointDecoder(dim=256, depth=4, heads=8))):
        same = np.full(BATCH, TOKENS // 4)
        ragged = unequal(same.sum(), 8, 120)
        rest = np.full(BATCH, TOKENS // 3), unequal(BATCH * (TOKENS // 3), 10, TOKENS - 120)
        steps = {"rectangular": step_of(same, rest[0], decoder), "ragged": step_of(ragged, rest[1], decoder)}
        parts.append(
            f"## A step of ViT-S with a {name} decoder\n\nrectangular: {TOKENS // 4} visible and {TOKENS // 3} "
            f"predicted tokens per sample; ragged: as many in all, {ragged.min()} to {ragged.max()} and "
            f"{rest[1].min()} to {rest[1].max()} per sample\n"
        )
        parts.append(table(interleave(steps, args.rounds), "rectangular") + "\n")
        print(parts[-1], flush=True)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "cost.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
