"""Plans for tests: any presence, any grid, no data."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from maetoolkit.masking import Layout, Masking, MaskPlan
from maetoolkit.modality import Scored
from maetoolkit.randomness import Draw


def layout(
    present: Mapping[str, np.ndarray],
    grids: Mapping[str, tuple[int, ...] | None],
    scored: Mapping[str, Scored] | None = None,
    outputs: Mapping[str, str] | None = None,
) -> Layout:
    """All entries are given and predicted; `outputs` adds others, by the entry they are of."""
    return Layout(dict(present), grids, tuple(grids), {**{n: n for n in grids}, **(outputs or {})}, scored or {})


def drawn(masking: Masking, where: Layout, progress: float = 0.0, seed: int = 0, first: int = 0) -> MaskPlan:
    keys = [f"sample {first + i}" for i in range(len(where))]
    return masking.build()(where, Draw.of(seed, keys), progress)


def of_grid(masking: Masking, grid: tuple[int, ...], num: int = 50, present: np.ndarray | None = None) -> np.ndarray:
    """Visible tokens (B, *grid) of the one entry `x`."""
    there = np.ones((num, math.prod(grid)), bool) if present is None else present.reshape(len(present), -1)
    return drawn(masking, layout({"x": there}, {"x": grid})).visible["x"].numpy().reshape(len(there), *grid)


def hidden_count(num: int, ratio: float) -> int:
    return num - math.floor(num * (1 - ratio) + 1e-9)
