"""From a cloud to groups of neighbours, whatever order its points come in. Axes: P points, N groups, K slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Axis = Literal["x", "y", "z"]
LARGEST = 1e15  # squares of what is larger leave float32


def ordered(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
    """The points sorted by coordinates: whatever is done by index after this depends on the set alone."""
    return points[np.lexsort(points.T[::-1])]


def in_unit_sphere(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
    """The points about their mean, the farthest at distance 1.

    Raises ValueError where all of them coincide, or one is too far away for the others to have a shape beside it.
    """
    largest = float(np.abs(points).max())
    if largest > LARGEST:
        raise ValueError(
            f"expected coordinates up to {LARGEST:g}, found {largest:g}; remove the stray point, or rescale the cloud"
        )
    centred = points - points.mean(0)
    radius = float(np.sqrt(np.square(centred).sum(1).max()))
    if radius <= 1e-12 * max(1.0, float(np.abs(points).max())):
        raise ValueError("all points coincide, so the cloud has no shape; remove the file, or repair it")
    return centred / radius


def rotation(draw: np.random.Generator, about: Axis | None) -> Float[np.ndarray, "3 3"]:
    """A random rotation about an axis, or about any (None): a unit quaternion, uniform on the sphere."""
    if about is None:
        w, x, y, z = (q := draw.standard_normal(4)) / np.linalg.norm(q)
    else:
        half = np.pi * draw.random()
        w = np.cos(half)
        x, y, z = np.sin(half) * np.eye(3)["xyz".index(about)]
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def farthest_points(points: Float[np.ndarray, "P 3"], num: int) -> Int[np.ndarray, "N"]:
    """Farthest point sampling: each next point is the farthest from those chosen (Eldar et al. 1997; PointNet++).

    The first is the farthest from the mean. Ties go to the first point, which for ordered points is a property of the
    cloud. No point is chosen twice.
    """
    chosen = np.empty(num, np.int64)
    distance = np.full(len(points), np.inf)
    at = int(_squared(points, points.mean(0)).argmax())
    for number in range(num):
        chosen[number] = at
        distance = np.minimum(distance, _squared(points, points[at]))
        distance[at] = -1
        at = int(distance.argmax())
    return chosen


def nearest_groups(
    points: Float[np.ndarray, "P 3"], centres: Int[np.ndarray, "N"], size: int
) -> Int[np.ndarray, "N K"]:
    """The `size` points nearest to each centre, nearest first; a point may be in several groups (Point-MAE)."""
    return _nearest(_between(points, centres), size)


def disjoint_groups(
    points: Float[np.ndarray, "P 3"], centres: Int[np.ndarray, "N"], size: int
) -> Int[np.ndarray, "N K"]:
    """Every point in the group of its nearest centre alone, nearest first; -1 where a group has fewer than `size`.

    Of a group with more, the farthest are left out.
    """
    distance = _between(points, centres)
    owner = distance.argmin(0)
    owner[centres] = np.arange(len(centres))  # also where two centres coincide
    mine = owner == np.arange(len(centres))[:, None]
    nearest = _nearest(np.where(mine, distance, np.inf), size)
    return np.where(np.take_along_axis(mine, nearest, axis=1), nearest, -1)


def _nearest(distance: np.ndarray, size: int) -> np.ndarray:
    """Indices (N, size) of the smallest of (N, P), in ascending order."""
    some = np.argpartition(distance, size - 1, axis=1)[:, :size]
    order = np.take_along_axis(distance, some, axis=1).argsort(axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)


def _between(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances (N, P)."""
    return sum((np.square(axis[centres, None] - axis) for axis in points.T), np.zeros(()))


def _squared(points: np.ndarray, place: np.ndarray) -> np.ndarray:
    apart = points - place
    return np.einsum("pa,pa->p", apart, apart)
