"""Procedural textures: where on a surface which of a material's two colours shows."""

from __future__ import annotations

import numpy as np

from maetoolkit.data.scenes_world import Material


def mix(material: Material, local: np.ndarray, normal: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Share (R,) of the second colour at points (3, R) of a surface with the given normals.

    footprint (R,): extent of a pixel on the surface; edges are that soft, and a texture fades to its mean where the
    footprint nears its period.
    """
    if material.texture == "plain":
        return np.zeros(local.shape[1], np.float32)
    blur = footprint / np.float32(material.period)
    u, v = (
        x / np.float32(material.period) + np.float32(p)
        for x, p in zip(_unfold(local, normal), material.phase, strict=True)
    )
    share, mean = _PATTERNS[material.texture](u, v, blur + np.float32(1e-3))
    return mean + (share - mean) * np.clip(1.6 - 1.6 * blur, 0, 1)


def _unfold(local: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two coordinates (R,) along the surface: the two axes that its normal points along least."""
    x, y, z = np.abs(normal)
    on_top = (y > x) & (y > z)
    return np.where((x > z) & ~on_top, local[2], local[0]), np.where(on_top, local[2], local[1])


def _soft(distance: np.ndarray, blur: np.ndarray) -> np.ndarray:
    """1 inside (positive distance), 0 outside, a ramp of width `blur` between."""
    return np.clip(distance / blur + np.float32(0.5), 0, 1)


def _ridge(x: np.ndarray) -> np.ndarray:
    """Distance to the nearest whole number."""
    return np.abs(x - np.rint(x))


def _checker(u: np.ndarray, v: np.ndarray, blur: np.ndarray) -> tuple[np.ndarray, float]:
    across, along = (2 * _soft(_ridge(0.5 * x) - np.float32(0.25), blur * np.float32(0.5)) - 1 for x in (u, v))
    return 0.5 - 0.5 * across * along, 0.5


def _stripes(u: np.ndarray, v: np.ndarray, blur: np.ndarray) -> tuple[np.ndarray, float]:
    return _soft(_ridge(u) - np.float32(0.25), blur), 0.5


def _tiles(u: np.ndarray, v: np.ndarray, blur: np.ndarray) -> tuple[np.ndarray, float]:
    row = np.rint(v)
    across = 0.5 * u + 0.5 * (row % 2)
    column = np.rint(across)
    inside = np.minimum(0.47 - np.abs(across - column), 0.44 - np.abs(v - row))
    shade = np.float32(0.18) + np.float32(0.18) * np.sin(column * np.float32(12.9) + row * np.float32(78.2))
    return 1 + (shade - 1) * _soft(inside, blur), 0.3


def _marble(u: np.ndarray, v: np.ndarray, blur: np.ndarray) -> tuple[np.ndarray, float]:
    bent = np.sin(1.3 * u + 2.1 * np.sin(0.7 * v)) + np.sin(1.9 * v + 1.7 * np.sin(0.9 * u))
    vein = 1 - np.abs(np.sin(1.5 * bent + 0.5 * u))
    return vein * vein, 0.25


def _dots(u: np.ndarray, v: np.ndarray, blur: np.ndarray) -> tuple[np.ndarray, float]:
    return _soft(np.float32(0.28) - np.hypot(_ridge(u), _ridge(v)), blur), 0.25


_PATTERNS = {"checker": _checker, "stripes": _stripes, "tiles": _tiles, "marble": _marble, "dots": _dots}
