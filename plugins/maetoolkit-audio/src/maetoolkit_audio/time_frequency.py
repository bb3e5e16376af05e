"""TimeFrequency: hide whole stretches of time and whole bands of frequency. Axes: B samples, N tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field as Setting

from maetoolkit.masking.sampler import Masking, MaskSampler, complete
from maetoolkit.masking.share import keep_smallest

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.masking.plan import Layout, MaskPlan
    from maetoolkit.modality import ModalitySet
    from maetoolkit.randomness import Draw
    from maetoolkit.tokens import Patches


class TimeFrequency(Masking):
    """Hide the share `time` of the token columns and `frequency` of the token rows (Audio-MAE, section 3).

    Of n columns (rows) of which something is present floor(n (1 - share)) are shown, at least one; a token is visible
    where both its column and its row are. For inputs whose tokens lie on a grid of two axes, rows of frequency and
    columns of time; beside others it stands in the core's `each`.
    """

    type: Literal["time_frequency"] = "time_frequency"
    time: Annotated[float, Setting(ge=0, lt=1)] = 0.5
    frequency: Annotated[float, Setting(ge=0, lt=1)] = 0.5

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        for name in modalities.inputs:
            if len(modalities[name].layout(None)[0] or ()) != 2:
                raise ValueError(
                    f"time_frequency: the tokens of {name!r} lie on no grid of two axes; give that input a sampler of "
                    f"its own: masking: {{type: each, ...}}"
                )

    def build(self) -> TimeFrequencySampler:  # noqa: D102
        return TimeFrequencySampler(self)


class TimeFrequencySampler(MaskSampler):
    """Keeps the columns and the rows with the smallest random keys."""

    settings: TimeFrequency

    def __init__(self, settings: TimeFrequency) -> None:
        self.settings = settings

    def __call__(  # noqa: D102
        self,
        layout: Layout,
        draw: Draw,
        progress: float = 0.0,
        patches: Mapping[str, Patches] | None = None,
        scores: Mapping[str, Tensor] | None = None,
    ) -> MaskPlan:
        import numpy as np

        settings, visible = self.settings, {}
        for name in layout.inputs:
            present, grid = layout.present[name], layout.grids[name]
            assert grid is not None, name
            cells = present.reshape(len(present), *grid)
            rows = _kept(draw, f"mask {name} frequency", np.any(cells, axis=2), settings.frequency)
            columns = _kept(draw, f"mask {name} time", np.any(cells, axis=1), settings.time)
            visible[name] = present & (rows[:, :, None] & columns[:, None, :]).reshape(present.shape)
        return complete(layout, visible, settings.score, settings.in_place)


def _kept(draw: Draw, purpose: str, present: np.ndarray, hidden: float) -> np.ndarray:
    """bool (B, n): which of the present ones stay visible; 1e-9, as 10 * (1 - 0.9) is 1."""
    budget = [max(1, math.floor(n * (1 - hidden) + 1e-9)) for n in present.sum(1)]
    return keep_smallest(draw.uniform(purpose, present.shape[1]), present, budget)
