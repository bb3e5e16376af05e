"""Where in a volume the declared box lies, the same for all entries of a sample, and what of it is padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from maetoolkit.modalities.grid import GridModality
    from maetoolkit.tokens import Field

PURPOSE = "volume"


def placed(
    value: np.ndarray,
    size: tuple[int, ...],
    flip: Sequence[int],
    stream: np.random.Generator | None,
    filler: float,
) -> np.ndarray:
    """Crop and pad the last three axes of `value` to `size`, then mirror it along some of the axes `flip`.

    Every call takes the same six numbers from the stream, so that equal shapes and settings give equal boxes.
    Without a stream: the middle, not mirrored.
    """
    places, coins = (np.full(3, 0.5), np.ones(3)) if stream is None else (stream.random(3), stream.random(3))
    box = np.full((*value.shape[:-3], *size), filler, value.dtype)
    source: list[Any] = [...]
    target: list[Any] = [...]
    for num, wanted, place in zip(value.shape[-3:], size, places, strict=True):
        spare = abs(num - wanted)
        start = spare // 2 if stream is None else int(place * (spare + 1))
        first, length = (start, wanted) if num >= wanted else (0, num)
        source.append(slice(first, first + length))
        behind = 0 if num >= wanted else start
        target.append(slice(behind, behind + length))
    box[tuple(target)] = value[tuple(source)]
    mirrored = tuple(axis - 3 for axis in flip if coins[axis] < 0.5)
    return np.ascontiguousarray(np.flip(box, mirrored))


def padded_field(modality: GridModality, field: Field, known: Tensor) -> Field:
    """The field with tokens of nothing but padding absent; as it is where nothing was padded."""
    if bool(known.all()):
        return field
    return replace(field, present=modality.cut(known).flatten(2).any(2) & field.present[:, None])
