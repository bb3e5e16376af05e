"""From a world to pictures: colour with light, shadow and texture; depth, classes and normals exactly as cast."""

from __future__ import annotations

import numpy as np

from maetoolkit.data.scenes import CLASSES
from maetoolkit.data.scenes_cast import (
    CEILING,
    FIRST_SOLID,
    FLOOR,
    SKY,
    WALL,
    camera_rays,
    cast,
    lit,
    normals,
    to_local,
)
from maetoolkit.data.scenes_texture import mix
from maetoolkit.data.scenes_world import World

SUBPIXELS = np.array([(-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375)], np.float32)
"""Where the rays of a smoothed pixel go: a rotated grid."""


def render(world: World, size: tuple[int, int], streams: frozenset[str]) -> dict[str, np.ndarray]:
    """The streams asked for (see `Scenes`), at `size` (height, width)."""
    height, width = size
    rows, columns = np.divmod(np.arange(height * width), width)
    direction = _rays(world, rows, columns, size)
    t, surface = cast(world, world.camera.position, direction)
    seen = surface != SKY
    points = _points(world, direction, np.where(seen, t, 0))
    facing = normals(world, points, surface)
    views: dict[str, np.ndarray] = {}
    if "depth" in streams:
        views["depth"] = np.rint(np.where(seen, t, 0) * 1000).astype(np.uint16).reshape(size)
    if "semantic" in streams:
        views["semantic"] = class_table(world)[surface].reshape(size)
    if "normals" in streams:
        camera = world.camera
        axes = np.stack([camera.right, camera.up, -camera.forward]).astype(np.float32)
        views["normals"] = np.rint((axes @ facing).T * 127).astype(np.int8).reshape(*size, 3)
    if "rgb" in streams:
        colour = _shade(world, direction, points, facing, surface, size)
        views["rgb"] = _develop(_smooth(world, colour, surface, size)).reshape(*size, 3)
    return views


def class_table(world: World) -> np.ndarray:
    """Surface number -> label."""
    return np.array([0, 1, 2, 3, *(CLASSES.index(solid.shape) for solid in world.solids)], np.uint8)


def _rays(world: World, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    return camera_rays(world.camera, (2 * columns + 1 - width) / height, (height - 1 - 2 * rows) / height)


def _points(world: World, direction: np.ndarray, t: np.ndarray) -> np.ndarray:
    return world.camera.position.astype(np.float32)[:, None] + direction * t


def _smooth(world: World, colour: np.ndarray, surface: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average several rays in the pixels where neighbours differ: outlines, shadows and textures without stairs."""
    width = size[1]
    light = np.sqrt(colour[1]).reshape(size)
    number = surface.reshape(size)
    edge = np.zeros(size, bool)
    for axis in (0, 1):
        step = (np.abs(np.diff(light, axis=axis)) > 0.16) | (np.diff(number, axis=axis) != 0)
        before, after = (edge[:-1], edge[1:]) if axis == 0 else (edge[:, :-1], edge[:, 1:])
        before |= step
        after |= step
    rows, columns = np.nonzero(edge)
    if not len(rows):
        return colour
    dense = (rows[:, None] + SUBPIXELS[:, 1]).ravel(), (columns[:, None] + SUBPIXELS[:, 0]).ravel()
    direction = _rays(world, *dense, size)
    t, surface = cast(world, world.camera.position, direction)
    points = _points(world, direction, np.where(surface != SKY, t, 0))
    finer = _shade(world, direction, points, normals(world, points, surface), surface, size)
    colour[:, rows * width + columns] = np.minimum(finer, 2).reshape(3, len(rows), len(SUBPIXELS)).mean(2)
    return colour


def _develop(colour: np.ndarray) -> np.ndarray:
    """Linear light (3, R) -> uint8 (R, 3): a soft shoulder, then gamma 2."""
    exposed = 1 - np.exp(-1.35 * colour)
    return np.rint(255 * np.sqrt(exposed)).astype(np.uint8).T


def _shade(
    world: World,
    direction: np.ndarray,
    points: np.ndarray,
    facing: np.ndarray,
    surface: np.ndarray,
    size: tuple[int, int],
) -> np.ndarray:
    """Linear light (3, R) that reaches the camera: ambient with occlusion, one lamp with shadow and highlight."""
    albedo, gloss = _albedo(world, direction, points, facing, surface, size)
    towards = world.light.astype(np.float32)[:, None] - points
    distance = np.sqrt(np.einsum("cr,cr->r", towards, towards))
    lambert = np.maximum(np.einsum("cr,cr->r", facing, towards) / distance, 0)
    lambert *= lit(world, points + facing * np.float32(2e-3))
    reach = np.float32(1.6 * np.linalg.norm(world.half))
    falloff = lambert * (1.5 / (0.35 + (distance / reach * 2) ** 2))
    view = -direction / np.sqrt(np.einsum("cr,cr->r", direction, direction))
    middle = towards / distance + view
    highlight = np.maximum(np.einsum("cr,cr->r", facing, middle), 0) / np.sqrt(np.einsum("cr,cr->r", middle, middle))
    for _ in range(5):
        highlight *= highlight
    highlight *= gloss * (lambert > 0)
    ambient = world.ambient.astype(np.float32)[:, None] * (_openness(world, points, facing) * (0.85 + 0.3 * facing[1]))
    lamp = world.light_colour.astype(np.float32)[:, None]
    colour = albedo * (ambient + lamp * falloff) + lamp * highlight
    sky = surface == SKY
    if sky.any():
        rise = np.clip(-view[1, sky], 0, 1)
        horizon, zenith = np.array([[0.75], [0.8], [0.85]]), np.array([[0.2], [0.38], [0.75]])
        colour[:, sky] = horizon + (zenith - horizon) * np.sqrt(rise)
    return colour


def _albedo(
    world: World,
    direction: np.ndarray,
    points: np.ndarray,
    facing: np.ndarray,
    surface: np.ndarray,
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Surface colours (3, R) and gloss (R,), textures faded where a pixel covers more than their period."""
    albedo = np.zeros_like(points)
    gloss = np.zeros(points.shape[1], np.float32)
    depth = np.sqrt(((points - world.camera.position.astype(np.float32)[:, None]) ** 2).sum(0))
    slant = np.sqrt(np.abs(np.einsum("cr,cr->r", facing, direction)) + np.float32(0.02))
    footprint = depth / slant * np.float32(2 * world.camera.tangent / size[0])
    materials = {FLOOR: world.floor, WALL: world.wall, CEILING: world.ceiling}
    materials |= {number: solid.material for number, solid in enumerate(world.solids, FIRST_SOLID)}
    for number, material in materials.items():
        here = np.flatnonzero(surface == number)
        if not len(here):
            continue
        local, normal = points[:, here], facing[:, here]
        if number >= FIRST_SOLID:
            solid = world.solids[number - FIRST_SOLID]
            local = to_local(solid, local - solid.centre.astype(np.float32)[:, None])
            normal = to_local(solid, normal)
        share = mix(material, local, normal, footprint[here])
        first, second = material.colours.astype(np.float32)[..., None]
        albedo[:, here] = first + (second - first) * share
        gloss[here] = material.gloss
    return albedo, gloss


def _openness(world: World, points: np.ndarray, facing: np.ndarray) -> np.ndarray:
    """Share of the surroundings that is not hidden (R,): solids as balls, and the edges where room planes meet."""
    openness = np.ones(points.shape[1], np.float32)
    if world.solids:
        centres = np.array([solid.centre for solid in world.solids], np.float32)
        radii = np.cbrt([np.prod(solid.half) for solid in world.solids]).astype(np.float32)[:, None]
        square = (
            np.square(centres).sum(1, keepdims=True) - 2 * (centres @ points) + np.einsum("cr,cr->r", points, points)
        )
        square = np.maximum(square, radii * radii)
        toward = centres @ facing - np.einsum("cr,cr->r", facing, points)
        hidden = np.maximum(toward, 0) * np.square(radii) / (square * np.sqrt(square))
        openness = (1 - np.float32(0.8) * hidden).prod(0)
    half = world.half.astype(np.float32)
    gaps = (half[0] - np.abs(points[0]), points[1], half[2] - np.abs(points[2]))
    for gap, normal in zip(gaps, facing, strict=True):
        openness *= 1 - np.float32(0.45) * np.exp(-np.float32(3) * np.maximum(gap, 0)) * (1 - np.abs(normal))
    return openness
