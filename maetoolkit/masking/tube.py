"""Tube: the same mask all along one axis of the token grid (VideoMAE, Tong et al. 2022, section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from maetoolkit.masking.ratio import EntrySampler, Ratio, RatioMasking, keep_smallest

if TYPE_CHECKING:
    import numpy as np

    from maetoolkit.randomness import Draw


class Tube(RatioMasking):
    """Hide `ratio` of the tubes of every entry: all tokens that differ along `axis` alone (0: time, in videos).

    Of n tubes with something present floor(n (1 - ratio)) stay visible. `ratios` sets the share of single entries.
    """

    num_axes: ClassVar[int] = 2

    type: Literal["tube"] = "tube"
    ratio: Ratio = 0.9
    axis: int = 0

    def check_grid(self, name: str, grid: tuple[int, ...] | None) -> None:  # noqa: D102
        super().check_grid(name, grid)
        if grid is not None and not -len(grid) <= self.axis < len(grid):
            raise ValueError(f"axis: expected one of the {len(grid)} axes of {name!r}, from 0, found {self.axis}")

    def build(self) -> TubeSampler:  # noqa: D102
        return TubeSampler(self)


class TubeSampler(EntrySampler):
    """Keeps the tubes with the smallest random keys."""

    settings: Tube

    def __init__(self, settings: Tube) -> None:
        self.settings = settings

    def visible(  # noqa: D102
        self, name: str, present: np.ndarray, grid: tuple[int, ...] | None, draw: Draw
    ) -> np.ndarray:
        import numpy as np

        self.settings.check_grid(name, grid)
        assert grid is not None
        axis = self.settings.axis % len(grid) + 1
        tokens = present.reshape(len(present), *grid)
        across = tokens.any(axis)
        occupied = across.reshape(len(present), -1)
        keys = draw.uniform(f"mask {name}", occupied.shape[1])
        kept = keep_smallest(keys, occupied, self.settings.num_shown(name, occupied.sum(1)))
        return (np.expand_dims(kept.reshape(across.shape), axis) & tokens).reshape(present.shape)
