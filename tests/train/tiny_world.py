"""A tiny world for training: 16-pixel pictures with depth, a transformer of width 32, seconds per run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NUM_SAMPLES, SIZE = 12, 16


def write_samples(root: Path, num_samples: int = NUM_SAMPLES, size: int = SIZE) -> Path:
    """Aligned folders `rgb` (8 bit) and `depth` (16 bit) of smooth random pictures."""
    random = np.random.default_rng(0)
    for name in ("rgb", "depth"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for number in range(num_samples):
        slope = random.uniform(0.2, 1.0, 3)
        ramp = np.linspace(0, 1, size)
        colour = np.stack([s * ramp[:, None] + (1 - s) * ramp[None] for s in slope], -1)
        Image.fromarray((255 * colour).astype(np.uint8)).save(root / "rgb" / f"{number:03d}.png")
        Image.fromarray((1000 + 4000 * colour[..., 0]).astype(np.uint16)).save(root / "depth" / f"{number:03d}.png")
    return root


def settings(root: Path, run: Path) -> dict[str, Any]:
    """A recipe of 20 steps as plain values."""
    return {
        "run": str(run),
        "seed": 3,
        "steps": 20,
        "batch": 8,
        "modalities": {
            "rgb": {"type": "rgb", "size": SIZE, "patch": 4},
            "depth": {"type": "depth", "size": SIZE, "patch": 4},
        },
        "masking": {"type": "dirichlet", "num_visible": 8},
        "encoder": {"type": "vit", "dim": 32, "depth": 2, "heads": 2},
        "decoder": {"type": "cross", "dim": 32, "depth": 1, "heads": 2},
        "data": {"type": "folder", "root": str(root), "split": None, "workers": 0},
        "optimizer": {"lr": 3e-2, "warmup_steps": 4},
        "log": {"every": 5},
        "checkpoint": {"every": 5},
    }
