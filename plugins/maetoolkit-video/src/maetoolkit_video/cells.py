"""The sampler of `RunningCell`. Axes: B samples, N tokens of a field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from maetoolkit.masking.composed import Ask, ComposedSampler
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.randomness import Draw
from maetoolkit.tokens import Patches

if TYPE_CHECKING:
    from maetoolkit_video.running_cell import RunningCell


class RunningCellSampler(ComposedSampler):
    """Takes the plan of its part and leaves out what is not to be decoded."""

    settings: RunningCell

    def plan(self, layout: Layout, draw: Draw, progress: float, ask: Ask) -> MaskPlan:  # noqa: D102
        return ask(self.parts[0], layout, draw)

    def forward(  # noqa: D102
        self,
        layout: Layout,
        draw: Draw,
        progress: float = 0.0,
        patches: Mapping[str, Patches] | None = None,
        scores: Mapping[str, Tensor] | None = None,
    ) -> MaskPlan:
        plan = super().forward(layout, draw, progress, patches, scores)
        target = dict(plan.target)
        for name, source in layout.sources.items():
            grid = layout.grids[source]
            if grid is not None and len(grid) == 3:
                decoded = running_cells(grid, self.settings.cell, self.settings.decode, self._phases(source, draw))
                target[name] = target[name] & torch.from_numpy(decoded)
        return MaskPlan(plan.visible, target, plan.in_place, plan.content)

    def _phases(self, source: str, draw: Draw) -> np.ndarray:
        uniform = draw.uniform(f"running cell {source}", 1)[:, 0]
        return np.floor(uniform * math.prod(self.settings.cell)).astype(np.int64)


def running_cells(grid: tuple[int, ...], cell: tuple[int, int], share: float, phases: np.ndarray) -> np.ndarray:
    """bool (B, N): the tokens of a grid (time, rows, columns) that are decoded, for the phase (B,) of each sample.

    A window over `share` of a path through the cell moves on by one place from frame to frame.
    """
    rows, columns = cell
    time, row, column = np.indices(grid).reshape(3, -1)
    across = np.where(row % rows % 2 == 0, column % columns, columns - 1 - column % columns)
    place = row % rows * columns + across  # no step of the path jumps, until it begins again
    num = rows * columns
    decoded: np.ndarray = (place - time - phases[:, None]) % num < round(share * num)
    return decoded
