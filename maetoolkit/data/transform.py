"""The crop and flip of a sample, drawn once by key and applied to every field that shares its frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from maetoolkit.errors import DataError
from maetoolkit.modality import Geometry
from maetoolkit.randomness import generator

if TYPE_CHECKING:
    from maetoolkit.data.source import Source
    from maetoolkit.modality import ModalitySet

ATTEMPTS = 10


def declared_aspect(modalities: ModalitySet) -> float:
    """Width over height of the first entry that shares the sample's frame and declares a size; 1 where none does."""
    aspects = (modalities[name].aspect for name in modalities.fields)
    return next((aspect for aspect in aspects if aspect is not None), 1.0)


def sample_frame(values: Mapping[str, np.ndarray | None], modalities: ModalitySet) -> tuple[int, int] | None:
    """Height and width of the largest field that shares the sample's frame; None where no field has one."""
    frames = [modalities[name].frame(value) for name, value in values.items() if value is not None]
    return max((frame for frame in frames if frame is not None), key=math.prod, default=None)


def random_crop(source: Source, frame: tuple[int, int], aspect: float, *path: int | str) -> Geometry:
    """A random resized crop and flip keyed by `path`, with whole-pixel edges on `frame` (height, width).

    Inception-style, as torchvision defines it: area uniform in `crop_scale`, ratio log-uniform in `crop_ratio`
    (times the declared aspect), ten attempts, then the largest centred box whose ratio is in range.
    """
    draw = generator(*path)
    height, width = frame
    flip = bool(draw.random() < source.flip)
    low, high = source.crop_ratio[0] * aspect, source.crop_ratio[1] * aspect
    for _ in range(ATTEMPTS):
        area = height * width * draw.uniform(*source.crop_scale)
        ratio = math.exp(draw.uniform(math.log(low), math.log(high)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = int(draw.integers(height - h + 1)), int(draw.integers(width - w + 1))
            return Geometry(top / height, left / width, h / height, w / width, flip)
    return centre_crop(frame, min(max(width / height, low), high), flip)


def centre_crop(frame: tuple[int, int], aspect: float, flip: bool = False) -> Geometry:
    """The largest centred box of the given ratio (width over height), with whole-pixel edges on `frame`."""
    height, width = frame
    h = min(height, max(1, round(width / aspect)))
    w = min(width, max(1, round(height * aspect)))
    return Geometry((height - h) // 2 / height, (width - w) // 2 / width, h / height, w / width, flip)


def check_spaces(values: Mapping[str, np.ndarray | None], modalities: ModalitySet, key: str) -> None:
    """Raise DataError where entries on equally many axes, which are to be cropped alike, are of unequal extent."""
    first: dict[int, tuple[str, tuple[int, ...]]] = {}
    for name, value in values.items():
        space = None if value is None else modalities[name].space(value)
        if space is None:
            continue
        other, expected = first.setdefault(len(space), (name, space))
        if space != expected:
            sizes = ["x".join(map(str, found)) for found in (expected, space)]
            raise DataError(
                f"sample {key!r}, {name}: expected the size of {other}, {sizes[0]}, found {sizes[1]}; "
                "resample one of them to the other"
            )


def apply(
    values: Mapping[str, np.ndarray | None], modalities: ModalitySet, geometry: Geometry, key: str
) -> dict[str, np.ndarray | None]:
    """Every present value as its modality transforms it. Raises DataError with the sample's key and the entry."""
    check_spaces(values, modalities, key)
    transformed: dict[str, np.ndarray | None] = {}
    for name, value in values.items():
        try:
            transformed[name] = None if value is None else modalities[name].transform(value, geometry)
        except ValueError as error:
            raise DataError(f"sample {key!r}, {name}: {error}") from error
    return transformed
