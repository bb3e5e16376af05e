"""The laws of what people and crops do to a modality: equivariance and pictures."""

from __future__ import annotations

import numpy as np
import torch

from maetoolkit.modality import Geometry
from maetoolkit.testing.case import SUBJECT, ModalityCase
from maetoolkit.testing.law import Inapplicable, LawError, law, require

NUM_TRIES = 8


@law("equivariance")
def equivariance(case: ModalityCase) -> None:
    """Crop and flip commute with reading back: a crop reads what stood inside the box, a flip moves every element to
    the mirrored column, twice a flip is none, and a flipped crop is the crop of the flipped value."""
    if case.frame is None:
        raise Inapplicable("values have no frame to crop or flip")
    height, width = case.frame
    large = case.raw(0, (2 * height, 2 * width))
    top, left = (int(case.random("box").integers(n + 1)) for n in (height, width))
    box = Geometry(top / (2 * height), left / (2 * width), 0.5, 0.5)
    window = np.ascontiguousarray(large[top : top + height, left : left + width])
    require(_same(_read(case, large, box), _read(case, window, Geometry())), "a crop is not what stood inside its box")

    value = _as_raw(case, _read(case, case.raw(1), Geometry()), large)
    mirrored = _flip(case, value, large)
    require(_same(_flip(case, mirrored, large), value), "flipping twice does not give the value back")
    _flip_moves_columns(case, value, mirrored, large)
    rows, columns = value.shape[0] // 2, value.shape[1] // 2
    crop, mirror = Geometry(0.0, 0.0, 0.5, 0.5, flip=True), Geometry(0.0, 0.5, 0.5, 0.5)
    if value.shape[0] == 2 * rows and value.shape[1] == 2 * columns:
        close = np.allclose(
            np.asarray(_read(case, value, crop), np.float64),
            np.asarray(_read(case, mirrored, mirror), np.float64),
            rtol=1e-4,
            atol=1e-5,
            equal_nan=True,
        )
        require(close, "a flipped crop is not the crop of the flipped value")


def _read(case: ModalityCase, value: np.ndarray, geometry: Geometry) -> np.ndarray:
    before = value.copy()
    read = case.data.transform(value, geometry)
    require(_same(before, value), "`transform` changes the value it was given; it may be read again")
    field = case.data.collate([read])
    require(field.present.all() and len(field) == 1, "`collate` loses a value that `transform` returned")
    return read


def _as_raw(case: ModalityCase, read: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A transformed value with its axes where `read` from a file would have them."""
    channels_first = like.ndim == 3 and read.ndim == 3 and read.shape[0] == like.shape[2]
    raw = np.moveaxis(read, 0, -1) if channels_first else read
    if raw.ndim == 3 and like.ndim == 2:
        raw = read[0]
    return np.ascontiguousarray(raw)


def _flip(case: ModalityCase, value: np.ndarray, like: np.ndarray) -> np.ndarray:
    return _as_raw(case, _read(case, value, Geometry(flip=True)), like)


def _flip_moves_columns(case: ModalityCase, value: np.ndarray, mirrored: np.ndarray, like: np.ndarray) -> None:
    draw, width = case.random("pixel"), value.shape[1]
    for _ in range(NUM_TRIES):
        row, column = int(draw.integers(value.shape[0])), int(draw.integers(width))
        changed = value.copy()
        changed[row, column] = value[int(draw.integers(value.shape[0])), int(draw.integers(width))]
        moved = _flip(case, changed, like)
        same = (moved == mirrored) | ((moved != moved) & (mirrored != mirrored))  # NaN is NaN
        elements = (~same).reshape(*moved.shape[:2], -1).any(2)
        places = {(int(r), int(c)) for r, c in np.argwhere(elements)}
        differs = not _same(changed, value)
        expected = {(row, width - 1 - column)} if differs else set()
        found = f"the element at {(row, column)} of {value.shape[:2]} is at {sorted(places)} after a flip"
        require(places == expected, found)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


@law("picture")
def picture(case: ModalityCase) -> None:
    """The picture of a truth and of any prediction is uint8 (H, W, 3) of one size, and drawing changes nothing."""
    patches = case.data.patchify(case.data.prepare(case.fields()[case.field]))
    truth = patches.values[0]
    before = truth.clone()
    drawn = case.data.picture(truth, patches.grid)
    if drawn is None:
        raise Inapplicable("the modality draws no pictures")
    constant = case.data.picture(torch.zeros_like(truth), patches.grid, truth)
    shown: dict[str, np.ndarray | None] = {"the truth": drawn, "a constant": constant}
    if SUBJECT in case.modalities.outputs:
        output = case.model().reconstruct(case.batch(case.fields()))
        shown["a prediction"] = case.data.picture(output.predicted[SUBJECT][0], patches.grid, truth)
    for what, image in shown.items():
        if image is None or image.ndim != 3 or image.shape[2] != 3:
            raise LawError(f"the picture of {what} is not (H, W, 3)")
        require(image.dtype == np.uint8, f"the picture of {what} is {image.dtype}, not uint8")
        require(image.shape == drawn.shape, f"the picture of {what} has size {image.shape[:2]}, not {drawn.shape[:2]}")
    require(torch.equal(truth, before), "drawing changes the values it is given")
    for name, colour in case.modality.legend():
        plain = len(colour) == 3 and all(isinstance(c, int) and 0 <= c <= 255 for c in colour)
        require(isinstance(name, str) and plain, f"legend entry {(name, colour)} is not a name and three bytes")
