"""RatioMasking: settings of samplers that hide a share of every entry; EntrySampler: draws for each entry by itself."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field as Setting
from pydantic import model_validator

from maetoolkit.description import NumberByName
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import Masking, MaskSampler, check_names, complete

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.modality import ModalitySet
    from maetoolkit.randomness import Draw
    from maetoolkit.tokens import Patches

Ratio = Annotated[float, Setting(ge=0, le=1)]


class RatioMasking(Masking, ABC):
    """Settings of a sampler that hides `ratio` of every entry; `ratios` sets it for single ones by name.

    Of n present tokens floor(n (1 - ratio)) stay visible. `num_axes`: the least axes that a token grid must have
    (0: none is needed); entries without such a grid are refused.
    """

    num_axes: ClassVar[int] = 0

    ratio: Ratio = 0.75
    ratios: NumberByName = ()

    @model_validator(mode="after")
    def _in_range(self) -> RatioMasking:
        for name, ratio in self.ratios:
            if not 0 <= ratio <= 1:
                raise ValueError(f"ratios.{name}: expected a share between 0 and 1, found {ratio}")
        return self

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        check_names("ratios", dict(self.ratios), modalities)
        for name in modalities.inputs if self.needs_grid else ():
            self.check_grid(name, modalities[name].layout(None)[0])

    @property
    def needs_grid(self) -> bool:
        """Whether it matters to these settings how tokens lie."""
        return self.num_axes > 0

    def check_grid(self, name: str, grid: tuple[int, ...] | None) -> None:
        """Raise ValueError where the tokens of an entry do not lie as this sampler needs them to."""
        if len(grid or ()) < self.num_axes:
            needed = "a grid" if self.num_axes == 1 else f"a grid of at least {self.num_axes} axes"
            found = "on none" if grid is None else f"on one of {len(grid)}"
            raise ValueError(
                f"type: {self.type} needs tokens on {needed}, and those of {name!r} lie {found}; "  # type: ignore[attr-defined]
                "give that entry a sampler of its own (type: each), or leave it out (type: restrict)"
            )

    def num_shown(self, name: str, num_tokens: np.ndarray) -> np.ndarray:
        """floor(n (1 - ratio)), tokens of an entry that stay visible of each n."""
        import numpy as np

        shown = 1 - dict(self.ratios).get(name, self.ratio)
        # 1e-9: 100 * (1 - 0.9) is 10, not 9
        return np.array([math.floor(n * shown + 1e-9) for n in num_tokens], np.int64)


class EntrySampler(MaskSampler, ABC):
    """Draws what is visible of each entry by itself, from presence and grid alone."""

    def __call__(  # noqa: D102
        self,
        layout: Layout,
        draw: Draw,
        progress: float = 0.0,
        patches: Mapping[str, Patches] | None = None,
        scores: Mapping[str, Tensor] | None = None,
    ) -> MaskPlan:
        visible = {name: self.visible(name, layout.present[name], layout.grids[name], draw) for name in layout.inputs}
        return complete(layout, visible, self.settings.score, self.settings.in_place)

    @abstractmethod
    def visible(self, name: str, present: np.ndarray, grid: tuple[int, ...] | None, draw: Draw) -> np.ndarray:
        """bool (B, N): the visible tokens of the entry `name`, of which `present` (B, N) are there."""


def keep_smallest(keys: np.ndarray, present: np.ndarray, budget: list[int] | np.ndarray) -> np.ndarray:
    """bool (B, N): the `budget[b]` present tokens of sample b with the smallest keys; ties go to the first."""
    import numpy as np

    order = np.argsort(np.where(present, keys, np.inf), axis=1, kind="stable")
    chosen = np.arange(keys.shape[1]) < np.asarray(budget)[:, None]
    flags = np.zeros_like(present)
    np.put_along_axis(flags, order, chosen, axis=1)
    return flags & present
