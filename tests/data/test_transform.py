from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import RandomResizedCrop

from maetoolkit.data.scenes import Scenes
from maetoolkit.data.transform import centre_crop, declared_aspect, random_crop, sample_frame
from maetoolkit.modalities import RGB, Depth
from maetoolkit.modalities.resample import pixel_box
from maetoolkit.modality import ModalitySet

SIDES = st.integers(1, 600)


@given(SIDES, SIDES, st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 100))
def test_random_crops_are_whole_pixel_boxes_inside_the_frame(
    height: int, width: int, aspect: float, sample: int
) -> None:
    geometry = random_crop(Scenes(), (height, width), aspect, 0, "crop", 0, str(sample))
    top, left, bottom, right = pixel_box(geometry, height, width)
    assert (top, left, bottom, right) == tuple(
        round(x)
        for x in (
            geometry.top * height,
            geometry.left * width,
            (geometry.top + geometry.height) * height,
            (geometry.left + geometry.width) * width,
        )
    )
    assert 0 <= top < bottom <= height
    assert 0 <= left < right <= width


def test_crops_are_distributed_as_those_of_torchvision() -> None:
    for height, width in ((1000, 1000), (600, 1100)):
        draws = [random_crop(Scenes(), (height, width), 1.0, 0, "crop", 0, str(i)) for i in range(3000)]
        ours = np.array([(g.height * height, g.width * width, g.top * height, g.left * width) for g in draws])
        with torch.random.fork_rng():
            torch.manual_seed(0)
            image = torch.empty(3, height, width)
            boxes = [RandomResizedCrop.get_params(image, [0.2, 1.0], [0.75, 1.3333]) for _ in range(3000)]
        theirs = np.array([(h, w, top, left) for top, left, h, w in boxes])
        for mine, published in ((ours, theirs), (np.log(ours[:, :2]), np.log(theirs[:, :2]))):
            error = np.sqrt((mine.var(0) + published.var(0)) / 3000)
            assert (np.abs(mine.mean(0) - published.mean(0)) < 4 * error).all()
            np.testing.assert_allclose(mine.std(0), published.std(0), rtol=0.06)
        assert 0.46 < np.mean([g.flip for g in draws]) < 0.54


def test_the_same_key_gives_the_same_crop_and_another_epoch_another() -> None:
    def crop(*path: int | str) -> object:
        return random_crop(Scenes(), (100, 100), 1.0, *path)

    assert crop(0, "crop", 0, "a") == crop(0, "crop", 0, "a")
    assert (
        len(
            {
                crop(*path)
                for path in ((0, "crop", 0, "a"), (0, "crop", 1, "a"), (1, "crop", 0, "a"), (0, "crop", 0, "b"))
            }
        )
        == 4
    )


def test_flip_and_scale_can_be_switched_off() -> None:
    source = Scenes(flip=0, crop_scale=(1, 1), crop_ratio=(1, 1))
    geometry = random_crop(source, (100, 100), 1.0, 0, "crop", 0, "a")
    assert pixel_box(geometry, 100, 100) == (0, 0, 100, 100)
    assert not geometry.flip


@given(SIDES, SIDES, st.floats(0.3, 3))
def test_the_centre_crop_is_the_largest_box_of_its_ratio(height: int, width: int, aspect: float) -> None:
    top, left, bottom, right = pixel_box(centre_crop((height, width), aspect), height, width)
    assert (bottom - top == height) or (right - left == width)
    assert abs(top - (height - bottom)) <= 1
    assert abs(left - (width - right)) <= 1
    h, w = bottom - top, right - left
    assert abs(w - h * aspect) <= max(1, aspect) or math.isclose(w / h, aspect, rel_tol=0.5 / min(h, w) + 0.5)


def test_the_frame_is_that_of_the_largest_field_and_the_aspect_the_declared_one() -> None:
    modalities = ModalitySet(rgb=RGB(size=(32, 64)), depth=Depth(size=(16, 32)))
    assert declared_aspect(modalities) == 2
    values = {"rgb": np.zeros((20, 40, 3)), "depth": np.zeros((40, 80))}
    assert sample_frame(values, modalities) == (40, 80)
    assert sample_frame({"rgb": None, "depth": None}, modalities) is None
