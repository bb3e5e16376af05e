"""RunningCell: a tube of hidden tubelets, of which the decoder decodes half (VideoMAE V2, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field as Setting
from pydantic import PositiveInt, model_validator

from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import Masking, MaskSampler, complete
from maetoolkit.masking.share import keep_smallest

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.modality import ModalitySet
    from maetoolkit.randomness import Draw
    from maetoolkit.tokens import Patches

Share = Annotated[float, Setting(ge=0, le=1)]


class RunningCell(Masking):
    """Hide `ratio` of the places of every clip, the same in every frame; decode only `decode` of what is hidden.

    The plane is divided into cells of `cell` (rows, columns) tokens. Of every cell a share `decode` of the places is
    decoded in a frame, and the choice runs through the cell from frame to frame, so that what is decoded covers the
    clip evenly; where it starts is the sample's. It holds for entries with a grid of three axes (time first); of the
    tokens of others `ratio` is hidden at random, and all of those are decoded. VideoMAE V2 (Wang et al. 2023) has
    0.9 and 0.5.
    """

    type: Literal["running_cell"] = "running_cell"
    ratio: Share = 0.9
    decode: Annotated[float, Setting(gt=0, le=1)] = 0.5
    cell: tuple[PositiveInt, PositiveInt] = (2, 2)

    @model_validator(mode="after")
    def _whole_places(self) -> RunningCell:
        num = math.prod(self.cell)
        if abs(self.decode * num - round(self.decode * num)) > 1e-6:
            rows, columns = self.cell
            raise ValueError(
                f"decode: {self.decode} of a cell of {rows} x {columns} places is not a whole number of them; "
                f"use a multiple of 1/{num}, or another cell"
            )
        return self

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        grids = {name: modalities[name].layout(None)[0] for name in modalities.inputs}
        if not any(grid is not None and len(grid) == 3 for grid in grids.values()):
            listed = ", ".join(f"{name} {'has none' if grid is None else list(grid)}" for name, grid in grids.items())
            raise ValueError(f"masking: running_cell needs an input with a token grid of three axes; found {listed}")

    def build(self) -> RunningCellSampler:  # noqa: D102
        return RunningCellSampler(self)


class RunningCellSampler(MaskSampler):
    """Draws places of the plane and a phase per sample; the rest follows."""

    settings: RunningCell

    def __init__(self, settings: RunningCell) -> None:
        self.settings = settings

    def __call__(  # noqa: D102
        self,
        layout: Layout,
        draw: Draw,
        progress: float = 0.0,
        patches: Mapping[str, Patches] | None = None,
        scores: Mapping[str, Tensor] | None = None,
    ) -> MaskPlan:
        import torch

        visible = {name: self._visible(name, layout, draw) for name in layout.inputs}
        plan = complete(layout, visible, self.settings.score, self.settings.in_place)
        target = dict(plan.target)
        for name, source in layout.sources.items():
            grid = layout.grids[source]
            if source in visible and grid is not None and len(grid) == 3:
                phases = (draw.uniform(f"phase {source}", 1)[:, 0] * math.prod(self.settings.cell)).astype(int)
                target[name] = target[name] & torch.from_numpy(self.decoded(grid, phases))
        return MaskPlan(plan.visible, target, plan.in_place)

    def _visible(self, name: str, layout: Layout, draw: Draw) -> np.ndarray:
        """bool (B, N): the same places in every frame, fewer where tokens are absent."""
        import numpy as np

        present, grid = layout.present[name], layout.grids[name]
        num_frames = grid[0] if grid is not None and len(grid) == 3 else 1
        places = np.logical_or.reduce(present.reshape(len(present), num_frames, -1), axis=1)
        budget = np.array([math.floor(n * (1 - self.settings.ratio) + 1e-9) for n in places.sum(1)])
        kept = keep_smallest(draw.uniform(f"mask {name}", places.shape[1]), places, budget)
        return np.tile(kept, (1, num_frames)) & present

    def decoded(self, grid: tuple[int, ...], phases: np.ndarray) -> np.ndarray:
        """bool (B, N): what the decoder may decode of a grid (time, rows, columns), for the phase of each sample."""
        import numpy as np

        rows, columns = self.settings.cell
        time, row, column = np.indices(grid).reshape(3, -1)
        across = np.where(row % rows % 2 == 0, column % columns, columns - 1 - column % columns)
        place = row % rows * columns + across  # a path through the cell that never jumps
        num = rows * columns
        return (place - time - phases[:, None]) % num < round(self.settings.decode * num)
