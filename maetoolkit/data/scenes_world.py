"""Drawing a world: the room, what stands in it, its materials, the light and the camera. Units: metres; y is up."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Texture = Literal["plain", "checker", "stripes", "tiles", "marble", "dots"]
Shape = Literal["sphere", "box", "cylinder"]


@dataclass(frozen=True)
class Material:
    """Two linear colours (2, 3) mixed by a texture of the given period; `gloss` is the strength of highlights."""

    texture: Texture
    colours: np.ndarray
    period: float
    gloss: float
    phase: np.ndarray


@dataclass(frozen=True)
class Solid:
    """An upright body: centre (3,), half extents (3,), turned by `yaw` about the vertical."""

    shape: Shape
    centre: np.ndarray
    half: np.ndarray
    yaw: float
    material: Material

    @property
    def reach(self) -> float:
        """Radius of the smallest ball around the body."""
        across = math.hypot(self.half[0], self.half[2]) if self.shape == "box" else self.half[0]
        return float(across if self.shape == "sphere" else math.hypot(across, self.half[1]))


@dataclass(frozen=True)
class Camera:
    """A pinhole: position and orthonormal axes (3,); `tangent` is that of half the vertical field of view."""

    position: np.ndarray
    right: np.ndarray
    up: np.ndarray
    forward: np.ndarray
    tangent: float


@dataclass(frozen=True)
class World:
    """A room |x| <= half[0], 0 <= y <= half[1], |z| <= half[2]; `roofless` ones have sky above the walls."""

    half: np.ndarray
    roofless: bool
    floor: Material
    wall: Material
    ceiling: Material
    solids: tuple[Solid, ...]
    light: np.ndarray
    light_colour: np.ndarray
    ambient: np.ndarray
    camera: Camera

    def balls(self, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The balls around the solids: centres (K, 3) as seen from `origin`, radii (K,)."""
        centres = np.array([solid.centre for solid in self.solids]) - origin
        return centres, np.array([solid.reach for solid in self.solids])


def draw_world(draw: np.random.Generator) -> World:
    """A world from a stream of random numbers."""
    roofless = bool(draw.random() < 0.3)
    height = draw.uniform(1.3, 2.4) if roofless else draw.uniform(2.5, 3.4)
    half = np.array([draw.uniform(2.2, 4.2), height, draw.uniform(2.2, 4.2)])
    hue = draw.random()
    floor = _material(draw, hue, ("checker", "tiles", "stripes", "marble", "plain"), (0.05, 0.45), (0.3, 0.9))
    wall = _material(
        draw, hue + draw.normal(0, 0.2), ("plain", "plain", "stripes", "tiles", "marble"), (0, 0.35), (0.3, 0.8)
    )
    ceiling = _material(draw, hue, ("plain",), (0, 0.1), (0.5, 1))
    camera = _camera(draw, half)
    solids = _solids(draw, half, camera, hue)
    level = draw.uniform(2.6, 4.0) if roofless else height - draw.uniform(0.15, 0.5)
    light = np.array([draw.uniform(-0.7, 0.7) * half[0], level, draw.uniform(-0.7, 0.7) * half[2]])
    warmth = draw.uniform(-1, 1)
    colour = np.array([1 + 0.12 * warmth, 1.0, 1 - 0.15 * warmth]) * draw.uniform(0.8, 1.2)
    ambient = np.array([1 - 0.1 * warmth, 1.0, 1 + 0.12 * warmth]) * draw.uniform(0.22, 0.34)
    return World(half, roofless, floor, wall, ceiling, solids, light, colour, ambient, camera)


def _material(
    draw: np.random.Generator,
    hue: float,
    textures: tuple[Texture, ...],
    saturation: tuple[float, float],
    period: tuple[float, float],
) -> Material:
    """Two related colours and a texture."""
    s, v = draw.uniform(*saturation), draw.uniform(0.6, 0.95)
    first = colorsys.hsv_to_rgb(hue % 1, s, v)
    contrast = draw.uniform(0.45, 0.8) if v > 0.6 else 1.5
    second = colorsys.hsv_to_rgb((hue + draw.normal(0, 0.08)) % 1, min(1, s * draw.uniform(0.6, 1.4)), v * contrast)
    texture = textures[int(draw.integers(len(textures)))]
    gloss = draw.uniform(0, 0.5)
    return Material(texture, np.square([first, second]), draw.uniform(*period), gloss, draw.uniform(-5, 5, 2))


def _camera(draw: np.random.Generator, half: np.ndarray) -> Camera:
    """Near a wall, at eye height, looking into the room and a little down, hardly rolled."""
    angle = draw.uniform(0, 2 * math.pi)
    outward = np.array([math.cos(angle), 0, math.sin(angle)])
    reach = 0.9 * min(half[0] / max(abs(outward[0]), 1e-6), half[2] / max(abs(outward[2]), 1e-6))
    position = outward * reach + np.array([0, min(draw.uniform(1.0, 1.9), half[1] - 0.2), 0])
    aim = np.array([draw.uniform(-0.8, 0.8), draw.uniform(0.3, 0.8), draw.uniform(-0.8, 0.8)])
    forward = (aim - position) / np.linalg.norm(aim - position)
    right = np.cross(forward, [0, 1, 0])
    right /= np.linalg.norm(right)
    roll = draw.normal(0, 0.03)
    up = np.cross(right, forward)
    right, up = right * math.cos(roll) + up * math.sin(roll), up * math.cos(roll) - right * math.sin(roll)
    return Camera(position, right, up, forward, math.tan(math.radians(draw.uniform(25, 34))))


def _solids(draw: np.random.Generator, half: np.ndarray, camera: Camera, hue: float) -> tuple[Solid, ...]:
    """Three to seven bodies on the floor, apart from each other and from the camera; some carry a smaller one."""
    solids: list[Solid] = []
    level = camera.forward * np.array([1, 0, 1])
    level /= np.linalg.norm(level)
    wanted = int(draw.integers(3, 8))
    for attempt in range(60):
        if len(solids) >= wanted:
            break
        radius = draw.uniform(0.25, 0.65)
        ahead = draw.uniform(1.5 + radius, 1.6 * (half[0] + half[2]) / 2)
        across = draw.uniform(-1, 1) * camera.tangent * ahead
        place = (camera.position + across * camera.right + ahead * level) * np.array([1, 0, 1])
        inside = (np.abs(place) + radius <= half)[::2].all()
        apart = all(math.dist(place[::2], s.centre[::2]) > 1.1 * (radius + max(s.half[0], s.half[2])) for s in solids)
        if not inside or not apart:
            continue
        solid = _solid(draw, place, radius, hue + 0.25 + 0.618 * attempt)
        solids.append(solid)
        if solid.shape != "sphere" and solid.half[1] < 0.5 and draw.random() < 0.5:
            top = place + np.array([0, 2 * solid.half[1], 0])
            width = min(solid.half[0], solid.half[2])
            solids.append(_solid(draw, top, width * draw.uniform(0.5, 0.9), hue + draw.random()))
    return tuple(solids)


def _solid(draw: np.random.Generator, place: np.ndarray, radius: float, hue: float) -> Solid:
    """A body of about the given radius that rests on `place`."""
    shape: Shape = ("sphere", "box", "cylinder")[int(draw.integers(3))]
    textures: tuple[Texture, ...] = ("plain", "plain", "checker", "stripes", "marble", "dots")
    material = _material(draw, hue, textures, (0.45, 0.85), (0.12, 0.3))
    if shape == "sphere":
        half = np.full(3, radius)
    elif shape == "box":
        half = radius * np.array([draw.uniform(0.5, 0.75), draw.uniform(0.4, 1.3), draw.uniform(0.5, 0.75)])
    else:
        half = radius * np.array([0.7, draw.uniform(0.4, 1.5), 0.7])
    return Solid(shape, place + np.array([0, half[1], 0]), half, draw.uniform(0, math.pi), material)
