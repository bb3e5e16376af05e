"""Block, tube, span, cells: exact numbers, presence, and the patterns that they are called after."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from drawing import drawn, hidden_count, layout, of_grid
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from maetoolkit.masking import Block, Masking, Share, Span, Tube
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.testing import check_sampler
from maetoolkit.testing.sequence import Numbers

GRIDS = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple)
RATIOS = st.one_of(st.sampled_from([0.0, 1.0, 0.4]), st.floats(0, 1))
quickly = settings(max_examples=40, deadline=None, database=None)


def gaps(grid: tuple[int, ...], seed: int, num: int = 5) -> np.ndarray:
    """Presence: whole, nothing, one token, and two random ones."""
    rng = np.random.default_rng(seed)
    there = rng.random((num, *grid)) < 0.6
    there[0], there[1], there[2] = True, False, False
    there[2].ravel()[rng.integers(there[2].size)] = True
    return there


@quickly
@given(GRIDS, RATIOS, st.integers(1, 30), st.floats(0.1, 1), st.integers(0, 999))
def test_blocks_hide_exactly_their_share_of_what_is_there(grid, ratio, min_block, min_aspect, seed) -> None:  # type: ignore[no-untyped-def]
    there = gaps(grid, seed)
    visible = of_grid(Block(ratio=ratio, min_block=min_block, min_aspect=min_aspect), grid, present=there)
    assert not (visible & ~there).any()
    for sample, flags in zip(visible, there, strict=True):
        assert (flags & ~sample).sum() == hidden_count(int(flags.sum()), ratio)


def num_parts(hidden: np.ndarray) -> int:
    return int(ndimage.label(hidden)[1])


def test_blocks_are_contiguous_and_everywhere() -> None:
    visible = of_grid(Block(ratio=0.4), (14, 14), num=300)
    assert max(num_parts(~sample) for sample in visible) <= 5  # 79 tokens in blocks of 16 and more
    scattered = of_grid(Share(ratio=0.4), (14, 14), num=50)
    assert min(num_parts(~sample) for sample in scattered) > 10
    often = (~visible).mean(0)
    assert often[4:10, 4:10].min() > 0.3
    assert often.min() > 0.02  # corners too, less often


def test_one_block_of_three_axes_is_in_one_piece_and_its_sides_follow_the_aspect() -> None:
    visible = of_grid(Block(ratio=0.1, min_block=1000, min_aspect=0.7), (8, 10, 12), num=50)
    assert all(num_parts(~sample) == 1 for sample in visible)
    spans = np.array([[np.ptp(np.nonzero(~sample)[axis]) + 1 for axis in range(3)] for sample in visible])
    assert spans.std(0).min() > 0.3
    even = of_grid(Block(ratio=0.1, min_block=1000, min_aspect=1), (8, 10, 12), num=20)
    assert all(
        abs((np.ptp(np.nonzero(~sample)[axis]) + 1) - 96 ** (1 / 3)) <= 1.5 for sample in even for axis in range(3)
    )


@quickly
@given(st.lists(st.integers(1, 5), min_size=2, max_size=3).map(tuple), RATIOS, st.data(), st.integers(0, 999))
def test_a_tube_is_the_same_all_along_its_axis_wherever_something_is_present(grid, ratio, data, seed) -> None:  # type: ignore[no-untyped-def]
    axis, there = data.draw(st.integers(-len(grid), len(grid) - 1)), gaps(grid, seed)
    visible = of_grid(Tube(ratio=ratio, axis=axis), grid, present=there)
    along = axis % len(grid) + 1
    shown, hidden = visible.any(along), (there & ~visible).any(along)
    assert not (shown & hidden).any()
    assert not (visible & ~there).any()
    for sample, tubes in zip(shown, there.any(along), strict=True):
        assert sample.sum() == tubes.sum() - hidden_count(int(tubes.sum()), ratio)


@quickly
@given(GRIDS, RATIOS, st.integers(1, 9), st.none() | st.floats(0.05, 1), st.data(), st.integers(0, 999))
def test_spans_hide_exactly_their_share_of_the_steps_that_are_there(grid, ratio, length, p, data, seed) -> None:  # type: ignore[no-untyped-def]
    axis, there = data.draw(st.none() | st.integers(-len(grid), len(grid) - 1)), gaps(grid, seed)
    visible = of_grid(Span(ratio=ratio, length=length, geometric=p, axis=axis), grid, present=there)
    assert not (visible & ~there).any()
    if axis is None:
        steps, shown = there.reshape(len(there), -1), visible.reshape(len(there), -1)
    else:
        others = tuple(i + 1 for i in range(len(grid)) if i != axis % len(grid))
        steps, shown = np.any(there, axis=others), np.any(visible, axis=others)
        assert not (shown & (there & ~visible).any(others)).any()
    for sample, flags in zip(shown, steps, strict=True):
        assert (flags & ~sample).sum() == hidden_count(int(flags.sum()), ratio)


def runs(hidden: np.ndarray) -> list[int]:
    return [len(list(group)) for value, group in itertools.groupby(hidden.tolist()) if value]


def test_span_lengths_are_as_declared() -> None:
    fixed = [run for sample in of_grid(Span(ratio=0.02, length=10), (500,), num=200) for run in runs(~sample)]
    assert np.mean([run == 10 for run in fixed]) > 0.99
    sampler = Span(geometric=0.2, length=10).build()
    stream = np.random.default_rng(0)
    drawn_lengths = np.array([sampler.length(stream) for _ in range(20000)])
    expected = np.array([0.2 * 0.8**k for k in range(9)] + [0.8**9])
    found = np.bincount(drawn_lengths, minlength=11)[1:] / len(drawn_lengths)
    assert np.abs(found - expected).max() < 0.012
    assert abs(drawn_lengths.mean() - 4.46) < 0.1  # of which SpanBERT gives 3.8, after clipping by redrawing


def test_a_share_of_starts_hides_about_half_of_a_speech_with_the_settings_of_hubert() -> None:
    hidden = ~of_grid(Span(starts=0.08, length=10), (1000,), num=100)
    assert abs(hidden.mean() - (1 - (1 - 0.08) ** 10)) < 0.02
    inner = [run for sample in hidden for run in runs(sample[:-10])[:-1]]
    assert min(inner) == 10
    assert not (~of_grid(Span(starts=0.0), (50,), num=3)).any()
    assert (~of_grid(Span(starts=1.0), (50,), num=3)).all()


@quickly
@given(st.lists(st.integers(1, 7), min_size=2, max_size=2).map(tuple), RATIOS, st.integers(1, 4), st.integers(0, 99))
def test_a_cell_is_seen_or_hidden_as_a_whole(grid, ratio, cell, seed) -> None:  # type: ignore[no-untyped-def]
    there = gaps(grid, seed)
    visible = of_grid(Share(ratio=ratio, cell=cell), grid, present=there)
    assert not (visible & ~there).any()
    corners = [range(0, n, cell) for n in grid]
    for sample, flags in zip(visible, there, strict=True):
        cells = [(slice(r, r + cell), slice(c, c + cell)) for r in corners[0] for c in corners[1]]
        shown = [bool(sample[part].any()) for part in cells if flags[part].any()]
        assert all((sample[part] == flags[part]).all() or not sample[part].any() for part in cells)
        assert sum(shown) == len(shown) - hidden_count(len(shown), ratio)


def test_simmim_hides_thirty_of_its_forty_nine_squares() -> None:
    visible = of_grid(Share(ratio=0.6, cell=2), (14, 14), num=20)
    assert ((~visible).reshape(20, -1).sum(1) == 30 * 4).all()


PATTERNS: dict[str, Masking] = {
    "block": Block(min_block=3),
    "block in place, all scored": Block(ratio=0.6, min_block=1, in_place=True, score="all"),
    "tube": Tube(ratio=0.5),
    "tube in place, last axis": Tube(ratio=0.5, axis=-1, in_place=True),
    "span": Span(length=3),
    "span along an axis, in place": Span(length=2, axis=1, in_place=True),
    "span by starts": Span(starts=0.1, length=3),
    "span, geometric": Span(ratio=0.3, geometric=0.2),
    "share of cells": Share(cell=2),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_keep_the_laws_of_samplers(name: str) -> None:
    check_sampler(PATTERNS[name])


@pytest.mark.parametrize("name", PATTERNS)
def test_a_plan_is_that_of_the_sample_whatever_the_batch(name: str) -> None:
    there = gaps((4, 6), 0, num=8).reshape(8, -1)
    together = drawn(PATTERNS[name], layout({"x": there}, {"x": (4, 6)})).visible["x"]
    alone = drawn(PATTERNS[name], layout({"x": there[5:6]}, {"x": (4, 6)}), first=5).visible["x"]
    assert (together[5] == alone[0]).all()


TWO = ModalitySet(words=Numbers(length=9), picture=RGB(size=16, patch=4))
REFUSED = [
    (Block(), "type: block needs tokens on a grid, and those of 'words' lie on none; give that entry a sampler of"),
    (Tube(), "type: tube needs tokens on a grid of at least 2 axes, and those of 'words' lie on none"),
    (Span(axis=0), "axis: expected an axis, from 0, of the token grid of every entry; 'words' has no grid, found 0"),
    (Share(cell=2), "cell: expected one number, or one for each axis of a token grid; 'words' has no grid"),
    (Block(ratios={"word": 0.1}), "ratios.word: no such input; did you mean 'words'?"),
]


@pytest.mark.parametrize(("masking", "reason"), REFUSED, ids=[reason[:25] for _, reason in REFUSED])
def test_tokens_that_lie_on_no_such_grid_are_refused_before_anything_runs(masking: Masking, reason: str) -> None:
    with pytest.raises(ValueError, match="^" + reason.replace("?", r"\?")):
        masking.check(TWO)
    if "ratios" not in reason:
        with pytest.raises(ValueError, match="^" + reason[:20]):
            drawn(masking, layout({"words": np.ones((2, 9), bool)}, {"words": None}))


def test_an_axis_that_is_not_there_is_refused() -> None:
    picture = TWO.only(["picture"])
    with pytest.raises(ValueError, match="axis: expected one of the 2 axes of 'picture', from 0, found 2"):
        Tube(axis=2).check(picture)
    with pytest.raises(ValueError, match="'picture' lies on a grid of 2, found"):
        Share(cell=(2, 2, 2)).check(picture)
    with pytest.raises(ValueError, match="starts: the hidden share follows from it"):
        Span(starts=0.1, ratio=0.3)
    Span(starts=0.1).check(TWO)
