"""Colour noise: exact numbers, colours that cluster as they should, all the laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_samplers import ColourNoise

from maetoolkit.masking import Layout, Masking, Share
from maetoolkit.modality import ModalitySet
from maetoolkit.plugins import registry
from maetoolkit.randomness import Draw
from maetoolkit.testing import check_sampler
from maetoolkit.testing.sequence import Numbers

COLOURS = ("red", "green", "blue", "purple")


def visible(masking: Masking, grid: tuple[int, ...], present: np.ndarray) -> np.ndarray:
    """Visible tokens (B, *grid)."""
    there = present.reshape(len(present), -1)
    layout = Layout({"x": there}, {"x": grid}, ("x",), {"x": "x"})
    plan = masking.build()(layout, Draw.of(0, [f"sample {i}" for i in range(len(there))]))
    return plan.visible["x"].numpy().reshape(len(there), *grid)


def visible_neighbours(masking: Masking) -> float:
    """How likely a neighbour of a visible token is visible, on 14 x 14 tokens."""
    seen = visible(masking, (14, 14), np.ones((400, 14, 14), bool))
    down, right = (seen[:, 1:] & seen[:, :-1]).sum(), (seen[..., 1:] & seen[..., :-1]).sum()
    return float((down + right) / (seen[:, 1:].sum() + seen[..., 1:].sum()))


def test_red_clusters_more_than_green_green_more_than_white_and_blue_least() -> None:
    red, green, blue, _ = (visible_neighbours(ColourNoise(colour=colour)) for colour in COLOURS)
    white = visible_neighbours(Share(ratio=0.75))
    assert white == pytest.approx(0.25, abs=0.01)
    assert red > green + 0.1 > white + 0.2
    assert white > blue + 0.05


def test_purple_has_what_green_has_not() -> None:
    draws, power = [Draw.of(0, [str(i)]).generator("mask", 0) for i in range(400)], []
    for colour in ("purple", "green"):
        fields = [ColourNoise(colour=colour).build().noise(draws.pop(), (32, 32)) for _ in range(200)]
        power.append((np.abs(np.fft.fft2(np.stack(fields))) ** 2).mean(0))
    purple, green = power
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))
    middle = (radius > 0.12) & (radius < 0.2)
    assert green[middle].mean() > 3 * green[~middle].mean()
    assert purple[middle].mean() < 0.7 * purple[~middle].mean()


@settings(max_examples=40, deadline=None, database=None)
@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple),
    st.floats(0, 1),
    st.sampled_from(COLOURS),
    st.integers(0, 99),
)
def test_exactly_the_share_of_what_is_there_is_hidden(grid, ratio, colour, seed) -> None:  # type: ignore[no-untyped-def]
    there = np.random.default_rng(seed).random((4, *grid)) < 0.7
    there[0] = False
    seen = visible(ColourNoise(ratio=ratio, colour=colour), grid, there)
    assert not (seen & ~there).any()
    for sample, flags in zip(seen, there, strict=True):
        assert sample.sum() == math.floor(flags.sum() * (1 - ratio) + 1e-9)


def test_every_token_is_shown_equally_often() -> None:
    often = visible(ColourNoise(), (8, 8), np.ones((3000, 8, 8), bool)).mean(0)
    assert np.abs(often - 0.25).max() < 5 * (0.25 * 0.75 / 3000) ** 0.5


@pytest.mark.parametrize("colour", COLOURS)
def test_it_keeps_the_laws(colour: str) -> None:
    def budget(there: dict[str, int]) -> int:
        return sum(math.floor(num * 0.4 + 1e-9) for num in there.values())

    check_sampler(ColourNoise(colour=colour, ratio=0.6), budget=budget)
    check_sampler(ColourNoise(colour=colour, ratio=0.6, in_place=True, score="all"))


def test_it_is_found_by_name_and_refuses_what_has_no_grid() -> None:
    assert registry().samplers["colour_noise"] is ColourNoise
    with pytest.raises(ValueError, match="type: colour_noise needs tokens on a grid, and those of 'words' lie on none"):
        ColourNoise().check(ModalitySet(words=Numbers(length=5)))
    with pytest.raises(ValueError, match=r"wide: expected more than narrow \(2\), found 1.5"):
        ColourNoise(narrow=2.0)
