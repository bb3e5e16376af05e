"""Ray casting in numpy, float32. Axes: 3 coordinates, R rays, from one point: origin (3,) + t * direction (3, R)."""

from __future__ import annotations

import math

import numpy as np

from maetoolkit.data.scenes_world import Camera, Solid, World

SKY, FLOOR, WALL, CEILING, FIRST_SOLID = 0, 1, 2, 3, 4
"""Surface numbers; solid k has number FIRST_SOLID + k."""


def camera_rays(camera: Camera, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Directions (3, R) of the image points x (right) and y (up), in units of half the picture's height.

    Their component along the optical axis is 1, so that t is depth.
    """
    axes = np.stack([camera.right * camera.tangent, camera.up * camera.tangent, camera.forward], axis=1)
    return axes.astype(np.float32) @ np.stack([x, y, np.ones_like(x)]).astype(np.float32)


def cast(world: World, origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First hit of every ray from inside the room: t (R,), infinite for sky, and the surface's number (R,)."""
    t, surface = _room(world, origin, direction)
    for number, here in enumerate(candidates(world, origin, direction), FIRST_SOLID):
        near = entry(world.solids[number - FIRST_SOLID], origin, direction[:, here])
        closer = near < t[here]
        here = here[closer]
        t[here] = near[closer]
        surface[here] = number
    return t, surface


def lit(world: World, points: np.ndarray) -> np.ndarray:
    """bool (R,): whether no solid lies between the lamp and `points` (3, R); the rays leave the lamp."""
    direction = points - world.light.astype(np.float32)[:, None]
    bright = np.ones(points.shape[1], bool)
    for solid, here in zip(world.solids, candidates(world, world.light, direction), strict=True):
        bright[here[entry(solid, world.light, direction[:, here]) < 0.999]] = False
    return bright


def candidates(world: World, origin: np.ndarray, direction: np.ndarray) -> list[np.ndarray]:
    """For every solid, the numbers of the rays that meet the ball around it."""
    if not world.solids:
        return []
    centres, radii = (a.astype(np.float32) for a in world.balls(origin))
    along = centres @ direction
    length = np.einsum("cr,cr->r", direction, direction)
    gap = np.einsum("kc,kc->k", centres, centres) - np.square(radii)
    meets = (along > 0) & (along * along > gap[:, None] * length)
    return [np.flatnonzero(row) for row in meets]


def _room(world: World, origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The room seen from inside: the nearest of the three planes that each ray flies towards."""
    x, y, z = np.where(direction == 0, np.float32(1e-9), direction)
    planes = [
        np.where(step > 0, np.float32(high - start), np.float32(low - start)) / step
        for step, start, low, high in zip(
            (x, y, z), origin, (-world.half[0], 0, -world.half[2]), world.half, strict=True
        )
    ]
    sides, vertical = np.minimum(planes[0], planes[2]), planes[1]
    surface = np.where(sides < vertical, np.uint8(WALL), np.where(y > 0, np.uint8(CEILING), np.uint8(FLOOR)))
    t = np.minimum(sides, vertical)
    if world.roofless:
        sky = surface == CEILING
        surface[sky] = SKY
        t[sky] = np.inf
    return t, surface


def to_local(solid: Solid, vectors: np.ndarray) -> np.ndarray:
    """Turn vectors (3, R) from the world's frame to the solid's."""
    if solid.shape == "sphere":
        return vectors
    return _turn(vectors, solid.yaw)


def to_world(solid: Solid, vectors: np.ndarray) -> np.ndarray:
    """The inverse of `to_local`."""
    if solid.shape == "sphere":
        return vectors
    return _turn(vectors, -solid.yaw)


def _turn(vectors: np.ndarray, yaw: float) -> np.ndarray:
    c, s = np.float32(math.cos(yaw)), np.float32(math.sin(yaw))
    turned = np.empty_like(vectors)
    turned[0] = c * vectors[0] - s * vectors[2]
    turned[1] = vectors[1]
    turned[2] = s * vectors[0] + c * vectors[2]
    return turned


def entry(solid: Solid, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """t (R,) at which rays enter the solid; infinite where they miss it or start inside."""
    o = to_local(solid, (origin - solid.centre).astype(np.float32)[:, None])
    d = to_local(solid, direction)
    half = solid.half.astype(np.float32)
    if solid.shape == "box":
        (first, last), *others = (_slab(o[axis], d[axis], half[axis]) for axis in range(3))
        for near, far in others:
            first, last = np.maximum(first, near), np.minimum(last, far)
    elif solid.shape == "sphere":
        first, last = _round(o, d, half[0])
    else:
        first, last = _round(o[::2], d[::2], half[0])
        near, far = _slab(o[1], d[1], half[1])
        first, last = np.maximum(first, near), np.minimum(last, far)
    return np.where((first < last) & (first > 1e-4), first, np.float32(np.inf))


def _slab(o: np.ndarray, d: np.ndarray, half: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Interval of t inside |x| < half, along one axis."""
    inverse = 1 / np.where(d == 0, np.float32(1e-9), d)
    centre, extent = -o * inverse, half * np.abs(inverse)
    return centre - extent, centre + extent


def _round(o: np.ndarray, d: np.ndarray, radius: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Interval of t inside a ball or an upright cylinder; empty (1 > 0) where the ray misses."""
    a = np.einsum("cr,cr->r", d, d)
    b = (o[:, 0] @ d) / a
    c = (o[:, 0] @ o[:, 0] - radius * radius) / a
    root = b * b - c
    hit = root > 0
    root = np.sqrt(np.where(hit, root, 0))
    return np.where(hit, -b - root, 1), np.where(hit, root - b, 0)


def normals(world: World, points: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """Unit normals (3, R) of the surfaces at `points`, towards the inside of the room; 0 for sky."""
    result = np.zeros_like(points)
    result[1] = np.where(surface == FLOOR, 1, np.where(surface == CEILING, -1, 0))
    wall = surface == WALL
    on_x = np.abs(points[0]) * np.float32(world.half[2]) > np.abs(points[2]) * np.float32(world.half[0])
    result[0] = np.where(wall & on_x, -np.sign(points[0]), 0)
    result[2] = np.where(wall & ~on_x, -np.sign(points[2]), 0)
    for number, solid in enumerate(world.solids, FIRST_SOLID):
        here = np.flatnonzero(surface == number)
        if len(here):
            local = to_local(solid, points[:, here] - solid.centre.astype(np.float32)[:, None])
            result[:, here] = to_world(solid, local_normals(solid, local))
    return result


def local_normals(solid: Solid, local: np.ndarray) -> np.ndarray:
    """Unit normals (3, R) of a solid at points of its surface, in its own frame."""
    scaled = local / solid.half.astype(np.float32)[:, None]
    if solid.shape == "sphere":
        return scaled
    if solid.shape == "box":
        axis = np.abs(scaled).argmax(0)
        return np.where(axis == np.arange(3)[:, None], np.sign(scaled), np.float32(0))
    on_cap = np.abs(scaled[1]) > np.hypot(scaled[0], scaled[2])
    side = scaled * np.array([[1], [0], [1]], np.float32)
    return np.where(on_cap, np.array([[0], [1], [0]], np.float32) * np.sign(scaled), side)
