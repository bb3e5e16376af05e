"""The modality: its laws, its clips, and what it shares with the sample's frame."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_video import Video
from maetoolkit_video.cases import colour, depth
from maetoolkit_video.clips import indices
from maetoolkit_video.sheet import contact_sheet

from maetoolkit.modality import Geometry, Marks
from maetoolkit.testing import MODALITY_LAWS, Law, ModalityCase
from maetoolkit.tokens import Field

SMALL = {"size": (4, 8, 12), "patch": (2, 4, 4), "frame_stride": 1}
DEPTH = depth().modality


@pytest.mark.parametrize("case", [colour, depth], ids=["colour", "depth"])
@pytest.mark.parametrize("law", MODALITY_LAWS, ids=str)
def test_video_keeps(law: Law[ModalityCase], case: Callable[[], ModalityCase]) -> None:
    assert law(case()).held is not False


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.integers(0, 8), st.integers(0, 12), st.booleans())
def test_crop_and_flip_are_those_of_every_frame(seed: int, top: int, left: int, flip: bool) -> None:
    video, draw = Video(**SMALL), np.random.default_rng(seed)
    frames = draw.integers(0, 256, (4, 16, 24, 3)).astype(np.uint8)
    box = Geometry(top / 16, left / 24, 0.5, 0.5, flip)
    window = frames[:, top : top + 8, left : left + 12]
    expected = window[:, :, ::-1] if flip else window
    np.testing.assert_array_equal(video.transform(frames, box), np.moveaxis(expected, -1, 0))
    assert video.frame(frames) == (16, 24)


def test_the_crop_has_the_declared_aspect_of_a_frame() -> None:
    from maetoolkit.data.transform import declared_aspect
    from maetoolkit.modality import ModalitySet

    assert declared_aspect(ModalitySet(video=Video(**SMALL))) == 1.5


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 6), st.integers(0, 2**16))
def test_a_clip_has_its_frames_apart_and_inside(num_frames: int, num: int, step: int, seed: int) -> None:
    span = (num - 1) * step + 1
    for stream in (None, np.random.default_rng(seed)):
        if num_frames < span:
            with pytest.raises(ValueError, match=f"at least {span} frames .* found {num_frames}"):
                indices(num_frames, num, step, "error", stream)
            held = indices(num_frames, num, step, "hold", stream)
            assert held == [min(i * step, num_frames - 1) for i in range(num)]
            continue
        clip = indices(num_frames, num, step, "error", stream)
        assert len(clip) == num
        assert np.array_equal(np.diff(clip), [step] * (num - 1))
        assert 0 <= clip[0] <= clip[-1] < num_frames
        if stream is None:
            assert abs(clip[0] - (num_frames - 1 - clip[-1])) <= 1


def test_the_start_of_a_training_clip_is_the_samples_own_and_shared_by_its_videos() -> None:
    frames = np.arange(100, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 12), np.uint8)
    grey = Video(**SMALL, channels=1)
    first = [grey.transform(frames, Geometry(path=(0, epoch, "a")))[0, :, 0, 0].tolist() for epoch in range(20)]
    assert len({tuple(clip) for clip in first}) > 10
    again = grey.replace(standardize="patch").transform(frames, Geometry(path=(0, 3, "a")))[0, :, 0, 0]
    assert again.tolist() == first[3]
    middle = grey.transform(frames, Geometry())[0, :, 0, 0]
    assert middle.tolist() == [48, 49, 50, 51]


def test_holes_are_not_scored_and_do_not_move_other_pixels() -> None:
    frames = np.full((4, 8, 12), 2500, np.uint16)
    frames[0, 0, 0] = 0
    field = DEPTH.prepare(DEPTH.collate([DEPTH.transform(frames, Geometry()), None]))
    assert field.present.tolist() == [True, False]
    assert field.values[0, 0, 0, 0, 0] == 0
    assert not field.valid[0, 0, 0, 0, 0]
    assert torch.all(field.values[0][field.valid[0]] == 1.0)


@pytest.mark.parametrize(("how", "axes"), [("patch", (1, 2, 3, 4)), ("channel", (2, 3, 4))])
def test_a_standardised_target_has_mean_0_and_variance_1(how: str, axes: tuple[int, ...]) -> None:
    video = Video(**SMALL, standardize=how)
    values = torch.randn(7, *video.content) * 3 + 5
    target = video.target(values)
    torch.testing.assert_close(target.mean(axes), torch.zeros_like(target.mean(axes)), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.var(axes), torch.ones_like(target.var(axes)), atol=1e-4, rtol=0)
    torch.testing.assert_close(video.to_values(target, values), values, atol=1e-5, rtol=1e-5)
    tiny = Video(size=(2, 2, 2), patch=(1, 1, 1), channels=1, standardize=how)
    assert torch.equal(tiny.target(torch.randn(3, 1, 1, 1, 1)), torch.zeros(3, 1, 1, 1, 1))


def test_the_contact_sheet_shows_a_frame_of_each_tubelet_in_reading_order_and_covers_what_is_hidden() -> None:
    frames = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 3), np.uint8)
    sheet = contact_sheet(frames)
    assert sheet.shape == (4, 12, 3)
    assert sheet[0, ::3, 0].tolist() == [0, 1, 2, 3]
    assert sheet[2, ::3, 0].tolist() == [4, 5, 6, 7]
    video = Video(**SMALL)
    black = video.prepare(Field.of(torch.zeros(1, 3, 4, 8, 12, dtype=torch.uint8)))
    patches = video.patchify(black)
    hidden = torch.zeros(12, dtype=torch.bool)
    hidden[7] = True  # second tubelet in time, first row, second column
    marks = Marks(torch.ones(12, dtype=torch.bool), hidden, hidden)
    drawn = video.draw(patches.values[0], patches.grid, marks)
    assert drawn.shape == (8, 24, 3)
    places = np.argwhere(drawn.any(-1))
    assert places.min(0).tolist() == [0, 16]
    assert places.max(0).tolist() == [3, 19]


def test_settings_that_cannot_work_are_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"size: expected \[frames, height, width\], found \[224\]"):
        Video(size=224)
    with pytest.raises(ValueError, match=r"patch 2 does not divide size 15; use a size of 14 or 16"):
        Video(size=(15, 224, 224))
    with pytest.raises(ValueError, match="multiple of 6, found 512"):
        Video(**SMALL).build_position(512, "decoder")


def test_importing_the_plugin_imports_no_torch() -> None:
    heavy = "{'torch', 'numpy', 'av'}"
    script = f"import sys, maetoolkit_video as v; v.Video(); v.RunningCell(); print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
