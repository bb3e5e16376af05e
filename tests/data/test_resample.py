from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maetoolkit.modalities.resample import crop_resize, pixel_box
from maetoolkit.modality import Geometry

DTYPES = [np.uint8, np.uint16, np.int16, np.int64, np.float16, np.float32, np.float64, bool]


@st.composite
def boxes(draw: st.DrawFn, height: int, width: int) -> tuple[int, int, int, int]:
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return top, left, draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))


@given(st.data(), st.integers(1, 700), st.integers(1, 700))
def test_whole_pixel_boxes_survive_the_way_through_fractions(data: st.DataObject, height: int, width: int) -> None:
    top, left, bottom, right = data.draw(boxes(height, width))
    geometry = Geometry(top / height, left / width, (bottom - top) / height, (right - left) / width)
    assert pixel_box(geometry, height, width) == (top, left, bottom, right)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(17, 23), (17, 23, 1), (17, 23, 3), (17, 23, 13)])
def test_the_type_and_the_channels_are_kept(dtype: type, interpolation: str, shape: tuple[int, ...]) -> None:
    value = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    resized = crop_resize(value, Geometry(0.1, 0.2, 0.7, 0.6, True), (8, 12), interpolation)  # type: ignore[arg-type]
    assert resized.shape == (8, 12, *shape[2:])
    assert resized.dtype == dtype


@given(st.data(), st.sampled_from(DTYPES), st.integers(1, 40), st.integers(1, 40))
def test_nearest_invents_no_value_and_flip_commutes(data: st.DataObject, dtype: type, height: int, width: int) -> None:
    value = np.random.default_rng(0).integers(0, 50, (19, 31)).astype(dtype)
    top, left, bottom, right = data.draw(boxes(19, 31))
    box = (top / 19, left / 31, (bottom - top) / 19, (right - left) / 31)
    resized = crop_resize(value, Geometry(*box), (height, width), "nearest")
    assert set(np.unique(resized)) <= set(np.unique(value[top:bottom, left:right]))
    flipped = crop_resize(value, Geometry(*box, flip=True), (height, width), "nearest")
    np.testing.assert_array_equal(flipped, resized[:, ::-1])


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_a_crop_of_the_target_size_copies_the_pixels(interpolation: str) -> None:
    value = np.random.default_rng(0).integers(0, 65536, (20, 30)).astype(np.uint16)
    cropped = crop_resize(value, Geometry(5 / 20, 10 / 30, 8 / 20, 12 / 30), (8, 12), interpolation)  # type: ignore[arg-type]
    np.testing.assert_array_equal(cropped, value[5:13, 10:22])


def test_labels_and_pixels_of_one_sample_stay_aligned() -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[20:40, 30:50] = 1
    colour = np.repeat(labels[..., None] * 200, 3, axis=2)
    geometry = Geometry(8 / 64, 16 / 64, 48 / 64, 48 / 64, True)
    seen = crop_resize(colour, geometry, (96, 96), "bilinear")[..., 0] > 100
    assert (seen == (crop_resize(labels, geometry, (96, 96), "nearest") == 1)).mean() > 0.98


def test_resizing_of_colour_is_antialiased_and_agrees_with_pillow() -> None:
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    ours = crop_resize(image, Geometry(), (15, 20), "bilinear").astype(int)
    theirs = np.asarray(Image.fromarray(image).resize((20, 15), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(ours - theirs).max() <= 1


def test_bicubic_overshoot_is_clipped_not_wrapped() -> None:
    value = np.zeros((8, 8), np.uint16)
    value[:, 4:] = 65535
    enlarged = crop_resize(value, Geometry(), (64, 64), "bicubic").astype(int)
    assert (np.diff(enlarged, axis=1) >= -3000).all()
    assert enlarged[:, 0].max() < 100
    assert enlarged[:, -1].min() > 65400
