"""Procedural textures: where on a surface which of a material's two colours shows."""

from __future__ import annotations

import numpy as np

from maetoolkit.data.scenes_world import Material


def mix(material: Material, local: np.ndarray, normal: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Share (R,) of the second colour at points (3, R) of a surface with the given normals.

    footprint (R,): extent of a pixel on the surface; a texture fades to its mean where that nears its period.
    """
    if material.texture == "plain":
        return np.zeros(local.shape[1], np.float32)
    u, v = _unfold(local, normal) / np.float32(material.period) + material.phase[:2].astype(np.float32)[:, None]
    share, mean = _PATTERNS[material.texture](u, v)
    sharpness = np.clip(1.6 - 1.6 * footprint / np.float32(material.period), 0, 1)
    return mean + (share - mean) * sharpness


def _unfold(local: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Two coordinates (2, R) along the surface: the two axes that its normal points along least."""
    axis = np.abs(normal).argmax(0)
    return np.stack([np.where(axis == 0, local[2], local[0]), np.where(axis == 1, local[2], local[1])])


def _checker(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, float]:
    return (np.floor(u) + np.floor(v)) % 2, 0.5


def _stripes(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, float]:
    return (np.abs(u % 1 - 0.5) < 0.25).astype(np.float32), 0.5


def _tiles(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, float]:
    row = np.floor(v)
    across = (u * 0.5 + 0.5 * (row % 2)) % 1
    joint = (np.minimum(across, 1 - across) < 0.03) | (np.abs(v - row - 0.5) > 0.44)
    shade = np.sin(np.floor(u * 0.5 + 0.5 * (row % 2)) * 12.9 + row * 78.2)
    return np.where(joint, 1, 0.18 + 0.18 * shade).astype(np.float32), 0.3


def _marble(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, float]:
    bent = np.sin(1.3 * u + 2.1 * np.sin(0.7 * v)) + np.sin(1.9 * v + 1.7 * np.sin(0.9 * u))
    vein = 1 - np.abs(np.sin(1.5 * bent + 0.5 * u))
    return vein * vein, 0.25


def _dots(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, float]:
    return (np.hypot(u % 1 - 0.5, v % 1 - 0.5) < 0.28).astype(np.float32), 0.25


_PATTERNS = {"checker": _checker, "stripes": _stripes, "tiles": _tiles, "marble": _marble, "dots": _dots}
