"""Pictures of clouds: four views, discs shaded by depth. Axes: P points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from maetoolkit_points.grouping import Axis

SIDE = 160
RADIUS = 2
MARGIN = 1.12
AROUND = (((35, 25), (125, 25)), ((215, 25), (35, 80)))
NEAR_AND_FAR = {"given": ((23, 46, 92), (132, 180, 232)), "made": ((150, 52, 4), (255, 190, 120))}
HIDDEN = (203, 205, 210)
PAPER = (250, 250, 251)


def views(
    given: Float[np.ndarray, "P 3"], made: Float[np.ndarray, "P 3"], hidden: Float[np.ndarray, "P 3"],
    middle: Float[np.ndarray, "3"], extent: float, up: Axis,
) -> UInt8[np.ndarray, "H W 3"]:  # fmt: skip
    """Given points in blue, made ones in orange, dark where near; a pale dot for each hidden place.

    The frame is the ball of radius `extent` about `middle`, whatever points there are.
    """
    points = (np.concatenate([hidden, given, made]) - middle) / max(extent, 1e-9)
    points = np.roll(points, 2 - "xyz".index(up), axis=1)
    kind = np.repeat([0, 1, 2], [len(hidden), len(given), len(made)])
    return np.block([[[_view(points, kind, *angles)] for angles in row] for row in AROUND])


def middle(kind: Literal["given", "made"]) -> tuple[int, int, int]:
    """The colour of points of a kind at middle depth."""
    red, green, blue = ((near + far) // 2 for near, far in zip(*NEAR_AND_FAR[kind], strict=True))
    return red, green, blue


def _view(points: np.ndarray, kind: np.ndarray, azimuth: float, elevation: float) -> np.ndarray:
    """One view of points in the unit ball, seen from far away."""
    turn, tilt = np.radians(azimuth), np.radians(elevation)
    toward = np.array([np.cos(tilt) * np.cos(turn), np.cos(tilt) * np.sin(turn), np.sin(tilt)])
    right = np.array([-np.sin(turn), np.cos(turn), 0.0])
    depth, across, above = points @ toward, points @ right, points @ np.cross(toward, right)
    near = np.clip((depth + 1) / 2, 0, 1)[:, None]
    colours = np.empty((len(points), 3))
    for number, (dark, pale) in enumerate(((HIDDEN, HIDDEN), *NEAR_AND_FAR.values())):
        chosen = kind == number
        colours[chosen] = near[chosen] * np.array(dark) + (1 - near[chosen]) * np.array(pale)
    scale = SIDE / 2 / MARGIN
    columns, rows = SIDE / 2 + scale * across, SIDE / 2 - scale * above
    canvas = np.full((SIDE, SIDE, 3), PAPER, np.uint8)
    order = np.lexsort((depth, kind > 0))  # pale dots first, then from far to near
    reach = np.arange(-RADIUS, RADIUS + 1)
    down, aside = (axis[np.hypot(*np.meshgrid(reach, reach)) <= RADIUS + 0.3] for axis in np.meshgrid(reach, reach))
    at = (
        np.clip(np.rint(rows[order])[:, None] + down, 0, SIDE - 1).astype(int),
        np.clip(np.rint(columns[order])[:, None] + aside, 0, SIDE - 1).astype(int),
    )
    canvas[at] = colours[order].round()[:, None]  # where points overlap, the last one, which is the nearest, remains
    return canvas
