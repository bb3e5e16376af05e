"""Centres, groups and rotations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_points import Points
from maetoolkit_points.cases import SMALL
from maetoolkit_points.grouping import farthest_points, rotation

from maetoolkit.modality import Geometry


def exact(points: np.ndarray) -> np.ndarray:
    """Coordinates whose differences float32 holds without rounding."""
    return np.round(points * 4096) / 4096


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16))
def test_centres_are_farthest_points_and_groups_are_as_declared(seed: int) -> None:
    draw = np.random.default_rng(seed)
    points = exact(draw.standard_normal((40, 3)))
    wide = SMALL.replace(normalize=None, group_size=40)
    for overlap in (True, False):
        modality = wide.replace(overlap=overlap)
        groups = modality.transform(points, Geometry()).astype(float)
        centres, around = groups[:, 0], groups[:, 1:] + groups[:, :1]
        assert {tuple(centre) for centre in centres} <= {tuple(point) for point in points}
        first = np.linalg.norm(points - points.mean(0), axis=1).argmax()
        np.testing.assert_allclose(centres[0], points[first], atol=1e-5)
        for number in range(1, 8):
            to_chosen = np.linalg.norm(points[:, None] - centres[:number], axis=2).min(1)
            mine = np.linalg.norm(centres[number] - centres[:number], axis=1).min()
            assert mine == pytest.approx(to_chosen.max(), abs=1e-4)
        members = [each[np.isfinite(each[:, 0])] for each in around]
        if overlap:
            assert all(len(each) == 40 for each in members)
        else:
            every = np.concatenate(members)
            assert len(every) == 40, "each point is in exactly one group"
            np.testing.assert_allclose(every[np.lexsort(every.T)], points[np.lexsort(points.T)], atol=1e-5)
            for centre, each in zip(centres, members, strict=True):
                mine = np.linalg.norm(each - centre, axis=1)
                others = np.linalg.norm(each[:, None] - centres, axis=2).min(1)
                np.testing.assert_allclose(mine, others, atol=1e-4)


def test_a_group_keeps_its_nearest_points() -> None:
    points = np.random.default_rng(0).standard_normal((40, 3))
    groups = SMALL.replace(normalize=None).transform(points, Geometry()).astype(float)
    for group in groups:
        expected = np.sort(np.linalg.norm(points - group[0], axis=1))[:6]
        np.testing.assert_allclose(np.linalg.norm(group[1:], axis=1), expected, atol=1e-5)


def test_only_overlapping_groups_show_points_of_hidden_ones() -> None:
    """What the README says of the published grouping: the strict law holds for points only without overlap."""
    points = np.random.default_rng(0).standard_normal((1024, 3))
    points = exact(points / np.linalg.norm(points, axis=1, keepdims=True))
    shared = {}
    for overlap in (True, False):
        groups = Points(overlap=overlap, normalize=None).transform(points, Geometry()).astype(float)
        whole = groups[:, 1:] + groups[:, :1]
        seen = {tuple(point) for point in whole[::2].reshape(-1, 3) if np.isfinite(point[0])}
        hidden = [tuple(point) for point in whole[1::2].reshape(-1, 3) if np.isfinite(point[0])]
        shared[overlap] = np.mean([point in seen for point in hidden])
    assert shared[True] > 0.3
    assert shared[False] == 0


@pytest.mark.parametrize("about", ["x", "y", "z", None])
def test_rotations_are_rotations_and_keep_their_axis(about: str | None) -> None:
    matrices = [rotation(np.random.default_rng(seed), about) for seed in range(200)]
    for matrix in matrices:
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)
        if about is not None:
            axis = np.eye(3)["xyz".index(about)]
            np.testing.assert_allclose(matrix @ axis, axis, atol=1e-12)
    spread = np.mean(matrices, axis=0) - (0 if about is None else np.outer(axis, axis))
    assert np.abs(spread).max() < 0.2


def test_points_that_come_twice_are_chosen_once() -> None:
    points = np.repeat(np.eye(3), 4, axis=0)
    assert sorted(farthest_points(points, 12).tolist()) == list(range(12))
    for overlap in (True, False):
        groups = Points(num_points=12, num_groups=12, group_size=3, overlap=overlap).transform(points, Geometry())
        assert np.isfinite(groups[:, :2]).all()
