"""The law of crops and flips, for kinds of data that share the sample's frame. Axes: H rows, W columns."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from maetoolkit.modality import Geometry
from maetoolkit.testing.case import ModalityCase
from maetoolkit.testing.law import Inapplicable, law, require

NUM_TRIES = 8


@law(
    "equivariance",
    why="All fields of a sample are cropped and flipped alike; one that is not no longer shows what the others show.",
    see="value = case.raw(1)  # then compare with the picture in a mirror\n"
    "case.data.transform(value, Geometry()), case.data.transform(value, Geometry(flip=True))",
)
def equivariance(case: ModalityCase) -> None:
    """Crop and flip commute with reading back: a crop reads what stood inside the box, a flip moves every element to
    the mirrored column, twice a flip is none, and a flipped crop is the crop of the flipped value. (A transformed
    value has its rows and columns last.)"""
    if case.frame is None:
        raise Inapplicable("values have no frame to crop or flip")
    height, width = case.frame
    large = case.raw(0, (2 * height, 2 * width))
    axes = _frame_axes(case, large)
    top, left = (int(case.random("box").integers(n + 1)) for n in (height, width))
    box = Geometry(top / (2 * height), left / (2 * width), 0.5, 0.5)
    window = _cut(large, axes, (top, left), (height, width))
    require(_same(_read(case, large, box), _read(case, window, Geometry())), "a crop is not what stood inside its box")

    rows, columns = _read(case, window, Geometry()).shape[-2:]
    value = case.raw(1, (rows, columns))
    mirrored = _read(case, value, Geometry(flip=True))
    _flip_moves_columns(case, value, axes, mirrored)
    again = _as_raw(case, value, axes, mirrored)
    if again is None:
        return
    twice = _read(case, again, Geometry(flip=True))
    require(_same(twice, _read(case, value, Geometry())), "flipping twice does not give the value back")
    half = rows // 2, columns // 2
    if value.shape[axes[0]] == 2 * half[0] and value.shape[axes[1]] == 2 * half[1]:
        crop, mirror = Geometry(0.0, 0.0, 0.5, 0.5, flip=True), Geometry(0.0, 0.5, 0.5, 0.5)
        one, other = (np.asarray(_read(case, v, g), np.float64) for v, g in ((value, crop), (again, mirror)))
        close = np.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)
        require(close, "a flipped crop is not the crop of the flipped value")


def _frame_axes(case: ModalityCase, value: np.ndarray) -> tuple[int, int]:
    """The axes of a raw value that are rows and columns: those without which the frame is smaller."""
    frame = case.data.frame(value)
    found = []
    for axis, size in enumerate(value.shape):
        smaller = case.data.frame(value.take(range(size - 1), axis)) if size > 1 else frame
        if smaller != frame:
            found.append(axis)
    require(len(found) == 2, f"`frame` of values {value.shape} is {frame}, which follows the axes {found} and not two")
    return found[0], found[1]


def _cut(value: np.ndarray, axes: tuple[int, int], start: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    window = [slice(None)] * value.ndim
    for axis, first, num in zip(axes, start, size, strict=True):
        window[axis] = slice(first, first + num)
    return np.ascontiguousarray(value[tuple(window)])


def _read(case: ModalityCase, value: np.ndarray, geometry: Geometry) -> np.ndarray:
    before = value.copy()
    read = case.data.transform(value, geometry)
    require(_same(before, value), "`transform` changes the value it was given; it may be read again")
    field = case.data.collate([read])
    require(field.present.all() and len(field) == 1, "`collate` loses a value that `transform` returned")
    return read


def _as_raw(case: ModalityCase, like: np.ndarray, axes: tuple[int, int], read: np.ndarray) -> np.ndarray | None:
    """A transformed value with its axes where `read` from a file would have them; None where that cannot be told."""
    rest = [axis for axis in range(like.ndim) if axis not in axes]
    whole = _read(case, like, Geometry())
    for lead in permutations(range(read.ndim - 2)):
        ahead = [axis for axis in lead if read.ndim == like.ndim or read.shape[axis] > 1]
        if len(ahead) != len(rest):
            continue
        places = dict(zip([*rest, *axes], [*ahead, read.ndim - 2, read.ndim - 1], strict=True))
        ones = [axis for axis in range(read.ndim - 2) if axis not in ahead]

        def turned(array: np.ndarray, places: dict[int, int] = places, ones: list[int] = ones) -> np.ndarray:
            ordered = array.transpose([*ones, *(places[axis] for axis in range(len(places)))])
            return np.ascontiguousarray(ordered.reshape(ordered.shape[len(ones) :]))

        candidate = turned(whole)
        if case.data.frame(candidate) == whole.shape[-2:] and _reads_as(case, candidate, whole):
            return turned(read)
    return None


def _reads_as(case: ModalityCase, candidate: np.ndarray, expected: np.ndarray) -> bool:
    try:
        return _same(_read(case, candidate, Geometry()), expected)
    except Exception:  # axes in an order that this kind of data refuses
        return False


def _flip_moves_columns(case: ModalityCase, value: np.ndarray, axes: tuple[int, int], mirrored: np.ndarray) -> None:
    draw, (height, width) = case.random("pixel"), mirrored.shape[-2:]
    for _ in range(NUM_TRIES):
        row, column = int(draw.integers(height)), int(draw.integers(width))
        changed, given = value.copy(), _pixels(value, axes)
        _pixels(changed, axes)[row, column] = given[int(draw.integers(height)), int(draw.integers(width))]
        before, after = (_read(case, v, Geometry()) for v in (value, changed))
        moved = _read(case, changed, Geometry(flip=True))
        places = {(int(r), int(c)) for r, c in np.argwhere(_differ(moved, mirrored))}
        expected = {(int(r), width - 1 - int(c)) for r, c in np.argwhere(_differ(before, after))}
        found = f"the element at {(row, column)} of {(height, width)} is at {sorted(places)} after a flip"
        require(places == expected, found)


def _pixels(value: np.ndarray, axes: tuple[int, int]) -> np.ndarray:
    """A view with rows and columns first."""
    return np.moveaxis(value, axes, (0, 1))


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which places (H, W) of two transformed values hold something else."""
    same = (one == other) | ((one != one) & (other != other))  # NaN is NaN
    differ: np.ndarray = (~same).reshape(-1, *same.shape[-2:]).any(0)
    return differ


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
