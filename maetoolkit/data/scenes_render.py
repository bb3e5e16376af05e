"""From a world to pictures: colour with light, shadow and texture; depth, classes and normals exactly as cast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from einops import reduce

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


@dataclass(frozen=True)
class Hits:
    """Where rays end: their `direction`, the `points` they reach and unit normals `facing` (3, R), `surface` (R,)."""

    direction: np.ndarray
    points: np.ndarray
    facing: np.ndarray
    surface: np.ndarray


def render(world: World, size: tuple[int, int], streams: frozenset[str]) -> dict[str, np.ndarray]:
    """The streams asked for (see `Scenes`), at `size` (height, width)."""
    height, width = size
    rows, columns = np.divmod(np.arange(height * width), width)
    t, hits = _trace(world, _rays(world, rows, columns, size))
    views: dict[str, np.ndarray] = {}
    if "depth" in streams:
        views["depth"] = np.rint(t * 1000).astype(np.uint16).reshape(size)
    if "semantic" in streams:
        views["semantic"] = class_table(world)[hits.surface].reshape(size)
    if "normals" in streams:
        camera = world.camera
        axes = np.stack([camera.right, camera.up, -camera.forward]).astype(np.float32)
        views["normals"] = np.rint((axes @ hits.facing).T * 127).astype(np.int8).reshape(*size, 3)
    if "rgb" in streams:
        views["rgb"] = _develop(_photograph(world, hits, size)).reshape(*size, 3)
    return views


def class_table(world: World) -> np.ndarray:
    """Surface number -> label."""
    return np.array([0, 1, 2, 3, *(CLASSES.index(solid.shape) for solid in world.solids)], np.uint8)


def _rays(world: World, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    return camera_rays(world.camera, (2 * columns + 1 - width) / height, (height - 1 - 2 * rows) / height)


def _trace(world: World, direction: np.ndarray) -> tuple[np.ndarray, Hits]:
    """Depth (R,), 0 for sky, and what the camera's rays hit."""
    t, surface = cast(world, world.camera.position, direction)
    t = np.where(surface == SKY, np.float32(0), t)
    points = world.camera.position.astype(np.float32)[:, None] + direction * t
    return t, Hits(direction, points, normals(world, points, surface), surface)


def _photograph(world: World, hits: Hits, size: tuple[int, int]) -> np.ndarray:
    """Linear light (3, R) of every pixel; where an outline, an edge or a shadow passes, the mean over several rays."""
    bright = _bright(world, hits)
    colour = _shade(world, hits, bright, size)
    rows, columns = np.nonzero(_outlines(hits, bright, size))
    if len(rows):
        dense = (rows[:, None] + SUBPIXELS[:, 1]).ravel(), (columns[:, None] + SUBPIXELS[:, 0]).ravel()
        _, finer = _trace(world, _rays(world, *dense, size))
        light = np.minimum(_shade(world, finer, _bright(world, finer), size), 2)
        colour[:, rows * size[1] + columns] = reduce(light, "c (pixel ray) -> c pixel", "mean", ray=len(SUBPIXELS))
    return colour


def _outlines(hits: Hits, bright: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """bool (H, W): pixels beside which another surface, another face or a shadow begins. Textures are soft already."""
    number = (hits.surface * np.uint8(2) + bright).reshape(size)
    facing = hits.facing.reshape(3, *size)
    edge = np.zeros(size, bool)
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1, :], np.s_[1:, :])):
        turn = np.einsum("chw,chw->hw", facing[(slice(None), *here)], facing[(slice(None), *there)])
        step = (number[here] != number[there]) | (turn < 0.7) & (number[here] > 1)
        edge[here] |= step
        edge[there] |= step
    return edge


def _bright(world: World, hits: Hits) -> np.ndarray:
    """bool (R,): whether the lamp is seen from a hit."""
    return lit(world, hits.points + hits.facing * np.float32(2e-3))


def _develop(colour: np.ndarray) -> np.ndarray:
    """Linear light (3, R) -> uint8 (R, 3): a soft shoulder, then gamma 2."""
    exposed = 1 - np.exp(-1.35 * colour)
    return np.rint(255 * np.sqrt(exposed)).astype(np.uint8).T


def _shade(world: World, hits: Hits, bright: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Linear light (3, R) that reaches the camera: ambient with occlusion, one lamp with shadow and highlight."""
    albedo, gloss = _albedo(world, hits, size)
    direction, points, facing = hits.direction, hits.points, hits.facing
    towards = world.light.astype(np.float32)[:, None] - points
    distance = np.sqrt(np.einsum("cr,cr->r", towards, towards))
    lambert = np.maximum(np.einsum("cr,cr->r", facing, towards) / distance, 0) * bright
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
    sky = hits.surface == SKY
    if sky.any():
        rise = np.clip(-view[1, sky], 0, 1)
        horizon, zenith = np.array([[0.75], [0.8], [0.85]]), np.array([[0.2], [0.38], [0.75]])
        colour[:, sky] = horizon + (zenith - horizon) * np.sqrt(rise)
    return colour


def _albedo(world: World, hits: Hits, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Surface colours (3, R) and gloss (R,), textures faded where a pixel covers more than their period."""
    points, facing, surface = hits.points, hits.facing, hits.surface
    albedo = np.zeros_like(points)
    gloss = np.zeros(points.shape[1], np.float32)
    depth = np.sqrt(((points - world.camera.position.astype(np.float32)[:, None]) ** 2).sum(0))
    slant = np.sqrt(np.abs(np.einsum("cr,cr->r", facing, hits.direction)) + np.float32(0.02))
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
