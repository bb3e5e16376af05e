"""Crop, resize and flip of one array: the shared geometry of a sample, applied to its own pixel grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize_image

if TYPE_CHECKING:
    from maetoolkit.modality import Geometry

Interpolation = Literal["nearest", "bilinear", "bicubic"]

_MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def pixel_box(geometry: Geometry, height: int, width: int) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of the crop in pixels of a grid; never empty, equal for grids of equal size."""
    top, bottom = _span(geometry.top, geometry.height, height)
    left, right = _span(geometry.left, geometry.width, width)
    return top, left, bottom, right


def _span(start: float, length: float, size: int) -> tuple[int, int]:
    first = min(max(round(start * size), 0), size - 1)
    return first, min(max(round((start + length) * size), first + 1), size)


def crop_resize(
    value: np.ndarray, geometry: Geometry, size: tuple[int, int], interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    """Crop `value` (H, W) or (H, W, C), bring it to `size` (h, w), flip it; the dtype is kept.

    "nearest" copies values exactly (labels, depth with holes); "bilinear" and "bicubic" are antialiased, and
    integer values are rounded and clipped to the range of their type.
    """
    top, left, bottom, right = pixel_box(geometry, *value.shape[:2])
    cropped = value[top:bottom, left:right]
    if cropped.shape[:2] == size:
        resized = cropped
    elif interpolation == "nearest":
        rows, columns = _nearest(bottom - top, size[0]), _nearest(right - left, size[1])
        resized = cropped[rows[:, None], columns]
    else:
        resized = _resize(cropped, size, _MODES[interpolation])
    return np.ascontiguousarray(resized[:, ::-1] if geometry.flip else resized)


def _nearest(source: int, target: int) -> np.ndarray:
    """The source pixel that each target pixel's centre falls into, in integers, so that no rounding can move it."""
    return ((2 * np.arange(target) + 1) * source) // (2 * target)


def _resize(value: np.ndarray, size: tuple[int, int], mode: InterpolationMode) -> np.ndarray:
    """Antialiased resize; uint8 and floating types natively, other integers by way of float64."""
    dtype = value.dtype
    native = dtype in (np.uint8, np.float32, np.float64)
    pixels = value if native else value.astype(np.float32 if dtype == np.float16 else np.float64)
    if not pixels.flags.writeable:
        pixels = pixels.copy()
    planes = torch.from_numpy(pixels if value.ndim == 3 else pixels[..., None]).permute(2, 0, 1)
    resized = resize_image(planes, list(size), interpolation=mode, antialias=True).permute(1, 2, 0).numpy()
    resized = resized if value.ndim == 3 else resized[..., 0]
    if native:
        return resized
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        resized = np.clip(np.rint(resized), limits.min, limits.max)
    elif dtype.kind == "b":
        resized = resized >= 0.5
    return resized.astype(dtype)
