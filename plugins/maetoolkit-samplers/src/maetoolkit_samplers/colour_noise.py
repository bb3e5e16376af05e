"""ColourNoise: masks from filtered noise, data-independent (ColorMAE, Hinojosa et al. 2024, section 3)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveFloat, model_validator

from maetoolkit.masking.ratio import EntrySampler, RatioMasking, keep_smallest

if TYPE_CHECKING:
    import numpy as np

    from maetoolkit.randomness import Draw

REACH = 4.0  # where a Gaussian is cut off, in standard deviations


class ColourNoise(RatioMasking):
    """Show the tokens of every entry where noise of a colour is strongest; hide `ratio` of those present, exactly.

    White noise W on the token grid is filtered by Gaussians G of standard deviation `narrow` and `wide`, in tokens:
    red G_wide * W (large regions), blue W - G_narrow * W (evenly spread), green G_narrow * W - G_wide * W (clusters of
    one size, evenly spread), purple W less the green part. Each sample has noise of its own, cut from a larger field
    so that edges are as the middle is; `ratios` sets the share of single entries.
    """

    num_axes: ClassVar[int] = 1

    type: Literal["colour_noise"] = "colour_noise"
    colour: Literal["red", "green", "blue", "purple"] = "green"
    narrow: PositiveFloat = 0.75
    wide: PositiveFloat = 1.5

    @model_validator(mode="after")
    def _in_order(self) -> ColourNoise:
        if not self.narrow < self.wide:
            raise ValueError(f"wide: expected more than narrow ({self.narrow:g}), found {self.wide:g}")
        return self

    def build(self) -> ColourNoiseSampler:  # noqa: D102
        return ColourNoiseSampler(self)


class ColourNoiseSampler(EntrySampler):
    """Keeps the tokens with the strongest noise."""

    settings: ColourNoise

    def __init__(self, settings: ColourNoise) -> None:
        self.settings = settings

    def visible(  # noqa: D102
        self, name: str, present: np.ndarray, grid: tuple[int, ...] | None, draw: Draw
    ) -> np.ndarray:
        import numpy as np

        self.settings.check_grid(name, grid)
        assert grid is not None
        strength = np.empty(present.shape)
        for sample in range(len(present)):
            strength[sample] = self.noise(draw.generator(f"mask {name}", sample), grid).ravel()
        return keep_smallest(-strength, present, self.settings.num_shown(name, present.sum(1)))

    def noise(self, stream: np.random.Generator, grid: tuple[int, ...]) -> np.ndarray:
        """One field of noise, in the shape of the grid."""
        margin, colour = math.ceil(REACH * self.settings.wide), self.settings.colour
        white = stream.standard_normal([n + 2 * margin for n in grid])
        inner = white[tuple(slice(margin, -margin) for _ in grid)]
        if colour == "red":
            return blurred(white, self.settings.wide, margin)
        if colour == "blue":
            return inner - blurred(white, self.settings.narrow, margin)
        green = blurred(white, self.settings.narrow, margin) - blurred(white, self.settings.wide, margin)
        return green if colour == "green" else inner - green


def blurred(field: np.ndarray, sigma: float, margin: int) -> np.ndarray:
    """The field convolved with a Gaussian along all axes, without its margin."""
    import numpy as np

    for axis in range(field.ndim):
        kernel = _gaussian(field.shape[axis], sigma, margin)
        field = np.moveaxis(np.tensordot(kernel, field, (1, axis)), 0, axis)
    return field


@lru_cache(maxsize=64)
def _gaussian(size: int, sigma: float, margin: int) -> np.ndarray:
    """(size - 2 margin, size): each row weighs what lies around one inner place; rows sum to 1."""
    import numpy as np

    inner = np.arange(margin, size - margin)
    weights = np.exp(-0.5 * ((np.arange(size) - inner[:, None]) / sigma) ** 2)
    normal: np.ndarray = weights / weights.sum(1, keepdims=True)
    return normal
