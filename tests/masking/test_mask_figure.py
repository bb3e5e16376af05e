"""The picture of masks in a report: every visible token once, in its place, on grids of any number of axes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from drawing import drawn, layout

from maetoolkit.evaluate.mask_figure import masks_svg
from maetoolkit.masking import Block, Share, Tube


@pytest.mark.parametrize("grid", [(4, 6), (3, 4, 5), (2, 2, 3, 3), (7,), None, (1, 1)])
def test_every_visible_token_has_a_square_of_its_own_inside_the_picture(grid: tuple[int, ...] | None) -> None:
    num = 13 if grid is None else int(np.prod(grid))
    where = layout({"x": np.ones((3, num), bool)}, {"x": grid})
    plan = drawn(Share(ratio=0.4), where)
    svg = masks_svg(plan, where, {"x": "#888"}, num=3)
    width, height = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    paths = re.findall(r'<path d="([^"]*)"', svg)
    for path, flags in zip(paths, plan.visible["x"], strict=True):
        corners = [tuple(map(float, pair)) for pair in re.findall(r"M([\d.]+) ([\d.]+)", path)]
        assert len(set(corners)) == int(flags.sum())
        assert all(-0.01 <= x < width and -0.01 <= y < height for x, y in corners)


def test_a_tube_is_the_same_in_every_frame_of_the_picture_and_a_block_is_in_one_piece() -> None:
    where = layout({"x": np.ones((1, 2 * 4 * 4), bool)}, {"x": (2, 4, 4)})
    svg = masks_svg(drawn(Tube(ratio=0.5), where), where, {"x": "#888"}, num=1)
    corners = np.array([list(map(float, pair)) for pair in re.findall(r"M([\d.]+) ([\d.]+)h", svg)])
    half = len(corners) // 2
    assert np.ptp(corners[half:] - corners[:half], axis=0).max() < 0.02
    assert svg.count('class="hidden"') == 2
    masks_svg(drawn(Block(min_block=2), where), where, {"x": "#888"}, num=1)
