"""Block: hide whole blocks of the token grid (BEiT, Bao et al. 2022, section 2.3; EVA, Fang et al. 2023)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field as Setting
from pydantic import PositiveInt

from maetoolkit.masking.ratio import EntrySampler, Ratio, RatioMasking

if TYPE_CHECKING:
    import numpy as np

    from maetoolkit.randomness import Draw

MAX_MISSES = 10  # blocks that hide nothing new, before the others are put where something is left to hide


class Block(RatioMasking):
    """Hide `ratio` of the present tokens of every entry in blocks, on a token grid of any number of axes.

    Blocks are drawn one after the other, of `min_block` tokens (rounded up to a box) up to all that are left to hide,
    with sides in proportions between `min_aspect` and its inverse, anywhere on the grid; the last one is cut so that
    exactly n - floor(n (1 - ratio)) of n present tokens are hidden. `ratios` sets the share of single entries.
    """

    num_axes: ClassVar[int] = 1

    type: Literal["block"] = "block"
    ratio: Ratio = 0.4
    min_block: PositiveInt = 16
    min_aspect: Annotated[float, Setting(gt=0, le=1)] = 0.3

    def build(self) -> BlockSampler:  # noqa: D102
        return BlockSampler(self)


class BlockSampler(EntrySampler):
    """Hides block after block until as many tokens are hidden as should be."""

    settings: Block

    def __init__(self, settings: Block) -> None:
        self.settings = settings

    def visible(  # noqa: D102
        self, name: str, present: np.ndarray, grid: tuple[int, ...] | None, draw: Draw
    ) -> np.ndarray:
        import numpy as np

        self.settings.check_grid(name, grid)
        assert grid is not None
        num_present = present.sum(1)
        num_hidden = num_present - self.settings.num_shown(name, num_present)
        visible = np.empty_like(present)
        for sample, flags in enumerate(present):
            stream = draw.generator(f"mask {name}", sample)
            hidden = self._hidden(stream, flags.reshape(grid), int(num_hidden[sample]))
            visible[sample] = flags & ~hidden.ravel()
        return visible

    def _hidden(self, stream: np.random.Generator, present: np.ndarray, num: int) -> np.ndarray:
        """Flags of exactly `num` present tokens of one sample, in blocks; both in the shape of the grid."""
        import numpy as np

        grid, hidden, misses = present.shape, np.zeros_like(present), 0
        while num > 0:
            sides = self._sides(stream, num, grid)
            if misses < MAX_MISSES:
                corner = [int(stream.integers(n - side + 1)) for n, side in zip(grid, sides, strict=True)]
            else:
                free = np.argwhere(present & ~hidden)
                anchor = free[stream.integers(len(free))]
                offsets = [int(a) - int(stream.integers(side)) for a, side in zip(anchor, sides, strict=True)]
                corner = [min(max(o, 0), n - side) for o, n, side in zip(offsets, grid, sides, strict=True)]
            block = tuple(slice(c, c + side) for c, side in zip(corner, sides, strict=True))
            new = present[block] & ~hidden[block]
            new[np.unravel_index(np.flatnonzero(new)[num:], new.shape)] = False
            found = int(new.sum())
            misses += not found
            hidden[block] |= new
            num -= found
        return hidden

    def _sides(self, stream: np.random.Generator, most: int, grid: tuple[int, ...]) -> list[int]:
        """Sides of a block of `min_block` to `most` tokens, whose neighbouring axes have a proportion drawn in logs."""
        size = stream.uniform(min(self.settings.min_block, most), most)
        limit = math.log(1 / self.settings.min_aspect)
        logs = [0.0]
        for proportion in stream.uniform(-limit, limit, len(grid) - 1):
            logs.append(logs[-1] - float(proportion))
        mean = sum(logs) / len(logs)
        sides = [math.ceil(size ** (1 / len(grid)) * math.exp(log - mean) - 1e-9) for log in logs]
        return [min(max(side, 1), n) for side, n in zip(sides, grid, strict=True)]
