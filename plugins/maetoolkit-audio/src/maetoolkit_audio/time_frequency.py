"""TimeFrequency: hide whole stretches of time and whole bands of frequency. Axes: B samples, N tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field as Setting

from maetoolkit.masking.sampler import Masking, MaskSampler, check_names, complete
from maetoolkit.masking.share import keep_smallest

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.masking.plan import Layout, MaskPlan
    from maetoolkit.modality import ModalitySet
    from maetoolkit.randomness import Draw
    from maetoolkit.tokens import Patches


class TimeFrequency(Masking):
    """Hide the share `time` of the token columns and `frequency` of the token rows (AudioMAE, section 3).

    Of n columns (rows) of which something is present floor(n (1 - share)) are shown, at least one; a token is visible
    where both its column and its row are. `entries` are the inputs that are masked so (empty: all whose tokens lie on
    a grid of two axes); of the others the share `ratio` is hidden, token by token.
    """

    type: Literal["time_frequency"] = "time_frequency"
    time: Annotated[float, Setting(ge=0, lt=1)] = 0.5
    frequency: Annotated[float, Setting(ge=0, lt=1)] = 0.5
    entries: tuple[str, ...] = ()
    ratio: Annotated[float, Setting(ge=0, le=1)] = 0.75

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        check_names("entries", dict.fromkeys(self.entries, 0.0), modalities)
        grids = {name: modalities[name].layout(None)[0] for name in modalities.inputs}
        for name in self.entries:
            if len(grids[name] or ()) != 2:
                raise ValueError(f"entries: the tokens of {name!r} lie on no grid of two axes; leave it out")
        if not any(len(grid or ()) == 2 for grid in grids.values()):
            raise ValueError("time_frequency: no input has tokens on a grid of two axes; use another sampler")

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
            if grid is not None and len(grid) == 2 and (name in settings.entries or not settings.entries):
                cells = present.reshape(len(present), *grid)
                rows = _kept(draw, f"mask {name} frequency", np.any(cells, axis=2), settings.frequency, least=1)
                columns = _kept(draw, f"mask {name} time", np.any(cells, axis=1), settings.time, least=1)
                visible[name] = present & (rows[:, :, None] & columns[:, None, :]).reshape(present.shape)
            else:
                visible[name] = _kept(draw, f"mask {name}", present, settings.ratio)
        return complete(layout, visible, settings.score, settings.in_place)


def _kept(draw: Draw, purpose: str, present: np.ndarray, hidden: float, least: int = 0) -> np.ndarray:
    """bool (B, n): which of the present ones stay visible; 1e-9, as 10 * (1 - 0.9) is 1."""
    budget = [max(least, math.floor(n * (1 - hidden) + 1e-9)) for n in present.sum(1)]
    return keep_smallest(draw.uniform(purpose, present.shape[1]), present, budget)
