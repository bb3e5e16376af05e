"""Share: hide a fixed share of every field, uniformly at random (MAE, section 3; M3AE, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, PositiveInt

from maetoolkit.masking.ratio import EntrySampler, RatioMasking, keep_smallest

if TYPE_CHECKING:
    import numpy as np

    from maetoolkit.randomness import Draw

__all__ = ["Share", "ShareSampler", "keep_smallest"]

Cell = Annotated[tuple[PositiveInt, ...], BeforeValidator(lambda value: (value,) if isinstance(value, int) else value)]
"""Tokens along each axis of a grid; one number stands for all axes."""


class Share(RatioMasking):
    """Hide `ratio` of the present tokens of every field; `ratios` sets it for single fields.

    Of n present tokens floor(n (1 - ratio)) stay visible. Ratio 0 shows everything, and then only outputs that
    are not given to the encoder are predicted, unless `score` is "all".
    `per` draws one mask for each sample, or one for all samples of a step; `count` takes n as the present tokens, or
    as all places, of which those that turn out to be padding are dropped (the M3AE release: "step" and "all").
    `cell` hides or shows that many neighbours along each axis of the token grid together, and n counts cells (SimMIM,
    section 3.2: patches of 16 pixels masked by squares of 32 have cells of 2).
    """

    type: Literal["share"] = "share"
    per: Literal["sample", "step"] = "sample"
    count: Literal["present", "all"] = "present"
    cell: Cell = (1,)

    @property
    def needs_grid(self) -> bool:  # noqa: D102
        return any(side > 1 for side in self.cell)

    def check_grid(self, name: str, grid: tuple[int, ...] | None) -> None:  # noqa: D102
        if grid is None or len(self.cell) not in (1, len(grid)):
            found = "has no grid" if grid is None else f"lies on a grid of {len(grid)}"
            raise ValueError(
                f"cell: expected one number, or one for each axis of a token grid; {name!r} {found}, found "
                f"{list(self.cell)}; give that entry a sampler of its own (type: each)"
            )

    def build(self) -> ShareSampler:  # noqa: D102
        return ShareSampler(self)


class ShareSampler(EntrySampler):
    """Keeps the smallest of one random key per token, or per cell of tokens."""

    settings: Share

    def __init__(self, settings: Share) -> None:
        self.settings = settings

    def visible(  # noqa: D102
        self, name: str, present: np.ndarray, grid: tuple[int, ...] | None, draw: Draw
    ) -> np.ndarray:
        import numpy as np

        if not self.settings.needs_grid:
            return self._kept(name, present, draw) & present
        self.settings.check_grid(name, grid)
        assert grid is not None
        of_token = cells(grid, self.settings.cell)
        occupied = np.zeros((len(present), of_token.max(initial=-1) + 1), bool)
        for sample, flags in enumerate(present):
            occupied[sample, of_token[flags]] = True
        return self._kept(name, occupied, draw)[:, of_token] & present

    def _kept(self, name: str, present: np.ndarray, draw: Draw) -> np.ndarray:
        import numpy as np

        if self.settings.per == "step":
            keys = np.broadcast_to(draw.shared(f"mask {name}").random(present.shape[1]), present.shape)
        else:
            keys = draw.uniform(f"mask {name}", present.shape[1])
        places = present if self.settings.count == "present" else np.ones_like(present)
        return keep_smallest(keys, places, self.settings.num_shown(name, places.sum(1)))


def cells(grid: tuple[int, ...], cell: tuple[int, ...]) -> np.ndarray:
    """int (N,): the cell that each token of a grid lies in; cells at the far edges may be cut off."""
    import numpy as np

    sides = cell * len(grid) if len(cell) == 1 else cell
    coarse = [-(-n // side) for n, side in zip(grid, sides, strict=True)]
    places = [np.arange(n) // side for n, side in zip(grid, sides, strict=True)]
    return np.ravel_multi_index(tuple(np.meshgrid(*places, indexing="ij")), coarse).ravel()
