"""How `maetool plugins check points` tries what this plugin offers: clouds of a few points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maetoolkit_points.points import Points

if TYPE_CHECKING:
    import numpy as np

    from maetoolkit.testing import ModalityCase

SMALL = Points(num_points=40, num_groups=8, group_size=6, width=4)


def overlapping() -> ModalityCase:
    """Groups as they are published."""
    from maetoolkit.testing import ModalityCase

    return ModalityCase(SMALL, examples=cloud)


def disjoint() -> ModalityCase:
    """Every point in one group."""
    from maetoolkit.testing import ModalityCase

    return ModalityCase(SMALL.replace(overlap=False, normalize=None), examples=cloud)


def cloud(draw: np.random.Generator, shape: tuple[int, ...] = ()) -> np.ndarray:
    """At least as many points as are used, about a place that is not the origin."""
    points: np.ndarray = (draw.standard_normal((int(draw.integers(40, 60)), 3)) + 5).astype("float32")
    return points
