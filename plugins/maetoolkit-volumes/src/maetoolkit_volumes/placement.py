"""Where in a volume the declared box lies, the same for all entries of a sample, and what of it is padding."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from maetoolkit.modalities.grid import GridModality
    from maetoolkit.modality import Geometry
    from maetoolkit.tokens import Field
    from maetoolkit_volumes.labels import VolumeLabels
    from maetoolkit_volumes.volume import Volume

PURPOSE = "volume"


def placed(value: np.ndarray, settings: Volume | VolumeLabels, geometry: Geometry, filler: float) -> np.ndarray:
    """Crop and pad the last three axes of `value` to the declared size, then mirror it along some of the axes `flip`.

    Every entry of a sample takes the same six numbers from the sample's stream, so that equal shapes and settings give
    equal boxes. In evaluation: the middle, not mirrored.
    """
    stream, size = geometry.random(PURPOSE), settings.extent(settings.size)
    places, coins = (np.zeros(3), np.ones(3)) if stream is None else (stream.random(3), stream.random(3))
    centred = stream is None or settings.crop == "centre"
    box = np.full((*value.shape[:-3], *size), filler, value.dtype)
    source: list[Any] = [...]
    target: list[Any] = [...]
    for num, wanted, place in zip(value.shape[-3:], size, places, strict=True):
        spare = abs(num - wanted)
        start = spare // 2 if centred else int(place * (spare + 1))
        first, length = (start, wanted) if num >= wanted else (0, num)
        source.append(slice(first, first + length))
        behind = 0 if num >= wanted else start
        target.append(slice(behind, behind + length))
    box[tuple(target)] = value[tuple(source)]
    mirrored = tuple(axis - 3 for axis in settings.flip if coins[axis] < 0.5)
    return np.ascontiguousarray(np.flip(box, mirrored))


def padded_field(modality: GridModality, field: Field, known: Tensor) -> Field:
    """The field with tokens of nothing but padding absent; as it is where nothing was padded."""
    if bool(known.all()):
        return field
    return replace(field, present=modality.cut(known).flatten(2).any(2) & field.present[:, None])
