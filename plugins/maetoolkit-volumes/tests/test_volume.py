"""The modalities: their laws, the box that a sample's entries share, padding, and intensities."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_volumes import Volume, VolumeLabels, cases
from maetoolkit_volumes.slices import middle_slices

from maetoolkit.modality import Geometry, Marks
from maetoolkit.testing import MODALITY_LAWS, Law, ModalityCase

SMALL = {"size": cases.SIZE, "patch": cases.PATCH}


@pytest.mark.parametrize("case", [cases.scan, cases.channels, cases.labels], ids=["scan", "channels", "labels"])
@pytest.mark.parametrize("law", MODALITY_LAWS, ids=str)
def test_volumes_keep(law: Law[ModalityCase], case: Callable[[], ModalityCase]) -> None:
    assert law(case()).held is not False


@pytest.mark.parametrize("case", [cases.padded_scan, cases.padded_labels], ids=["scan", "labels"])
@pytest.mark.parametrize("name", ["no leak", "presence", "optimum"])
def test_padded_volumes_keep(name: str, case: Callable[[], ModalityCase]) -> None:
    (law,) = [law for law in MODALITY_LAWS if law.name == name]
    assert law(case()).held is not False


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    """Every voxel has a number of its own, from 1."""
    return np.arange(1, np.prod(shape) + 1).reshape(shape)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 12)] * 3), st.integers(0, 2**16), st.booleans())
def test_entries_of_a_sample_are_cropped_padded_and_mirrored_alike(shape, key: int, training: bool) -> None:
    scan, other = Volume(**SMALL, flip=(0, 2)), Volume(**SMALL, flip=(0, 2), normalize=None)
    seg = VolumeLabels(**SMALL, flip=(0, 2), num_classes=2000, void=None)
    geometry = Geometry(flip=True, path=(0, 0, str(key)) if training else None)
    voxels = numbered(shape)
    first = scan.transform(voxels.astype(np.float32), geometry)
    assert first.shape == (1, 4, 8, 6)
    np.testing.assert_array_equal(first, other.transform(voxels.astype(np.float64), geometry))
    labels = seg.transform(voxels, geometry)
    np.testing.assert_array_equal(np.nan_to_num(first[0], nan=-1), labels)
    for axis in range(3):
        assert (labels >= 0).any(tuple(a for a in range(3) if a != axis)).sum() == min(shape[axis], seg.size[axis])
    if not training:
        lower = [max(0, (n - s) // 2) for n, s in zip(shape, seg.size, strict=True)]
        assert labels[labels >= 0].min() == voxels[tuple(lower)]


def test_training_boxes_lie_anywhere_and_both_ways_round() -> None:
    scan = Volume(size=(2, 2, 2), patch=2, flip=(0,))
    voxels = numbered((4, 4, 4)).astype(np.float32)
    boxes = [scan.transform(voxels, Geometry(path=(0, 0, str(key))))[0] for key in range(300)]
    corners = {int(box.min()) for box in boxes}
    assert len(corners) == 27
    rising = [bool(box[0, 0, 0] < box[1, 0, 0]) for box in boxes]
    assert 100 < sum(rising) < 200
    middle = scan.replace(crop="centre", flip=()).transform(voxels, Geometry(path=(0, 0, "a")))
    np.testing.assert_array_equal(middle[0], voxels[1:3, 1:3, 1:3])
    assert all(box[0, 0, 0] < box[0, 1, 0] and box[0, 0, 0] < box[0, 0, 1] for box in boxes)


def test_blocks_of_padding_alone_are_absent_and_padding_beside_voxels_is_not_scored() -> None:
    scan, seg = Volume(**SMALL), VolumeLabels(**SMALL, num_classes=3)
    scans = [scan.transform(np.full((3, 4, 6), 7.0), Geometry()), None]
    labels = [seg.transform(np.ones((3, 4, 6), np.uint8), Geometry()), None]
    for modality, values in ((scan, scans), (seg, labels)):
        field = modality.prepare(modality.collate(values))
        assert field.present.shape == (2, 8)
        assert not field.present[1].any()
        assert int(field.valid[0].sum()) == 3 * 4 * 6
        patches = modality.patchify(field)
        there = patches.valid[0].flatten(1)
        assert torch.equal(field.present[0], there.any(1))
        assert torch.equal(modality.token_count(patches.values[0], patches.valid[0]), there.sum(1).float())
    narrow = scan.prepare(scan.collate([scan.transform(np.full((4, 4, 3), 7.0), Geometry())]))
    assert int(narrow.present.sum()) == 8
    single = scan.prepare(scan.collate([scan.transform(np.full((2, 1, 1), 7.0), Geometry())]))
    assert int(single.present.sum()) == 2
    assert scan.collate([scan.transform(np.ones((9, 9, 9)), Geometry())]).present.shape == (1,)


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1e5), st.sampled_from(["zscore", "percentile"]), st.integers(0, 2**16))
def test_intensities_are_known_up_to_a_scale_only(scale: float, how: str, seed: int) -> None:
    scan, draw = Volume(**SMALL, normalize=how), np.random.default_rng(seed)
    values = draw.gamma(2.0, 1.0, (4, 8, 6)) * (draw.random((4, 8, 6)) > 0.3)
    prepared = [scan.prepare(scan.collate([scan.transform(values * k, Geometry())])).values for k in (1, scale)]
    torch.testing.assert_close(*prepared, rtol=1e-3, atol=1e-4)
    inside = torch.from_numpy(values[None, None]) != 0
    found = prepared[0][inside]
    if how == "zscore":
        torch.testing.assert_close(found.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
        torch.testing.assert_close(found.std(correction=0), torch.tensor(1.0), atol=1e-3, rtol=0)
        assert (prepared[0][~inside] < found.min()).all()
    else:
        assert found.min() == -1
        assert found.max() == 1


def test_percentiles_leave_out_a_few_extreme_voxels() -> None:
    scan = Volume(size=10, patch=5, normalize="percentile", nonzero=False)
    values = np.linspace(0, 100, 1000).reshape(10, 10, 10)
    values[0, 0, 0], values[9, 9, 9] = -1e6, 1e6
    prepared = scan.prepare(scan.collate([scan.transform(values, Geometry())])).values
    torch.testing.assert_close(prepared.flatten()[500], torch.tensor(0.0), atol=0.02, rtol=0)


def test_a_flat_or_empty_scan_becomes_flat() -> None:
    for how in ("zscore", "percentile"):
        for value in (0.0, 3e4, 1e-6):
            scan = Volume(**SMALL, normalize=how)
            prepared = scan.prepare(scan.collate([scan.transform(np.full((4, 8, 6), value), Geometry())])).values
            assert prepared.isfinite().all()
            assert len(prepared.unique()) == 1


def test_the_picture_shows_the_middle_slices_with_up_at_the_top_and_covers_what_is_hidden() -> None:
    voxels = np.zeros((4, 8, 6, 3), np.uint8)
    voxels[2, 4, 5] = 255  # the top of the middle column
    picture = middle_slices(voxels, 0)
    assert picture.shape == (8, 8 + 2 + 4 + 2 + 4, 3)
    assert np.argwhere(picture.any(-1)).tolist() == [[1, 4], [1, 12]]
    scan = Volume(**SMALL)
    patches = scan.patchify(scan.prepare(scan.collate([np.ones((1, 4, 8, 6), np.float32)])))
    hidden, present = torch.zeros(8, dtype=torch.bool), torch.ones(8, dtype=torch.bool)
    plain = scan.draw(patches.values[0], patches.grid, Marks(present, hidden, hidden))
    np.testing.assert_array_equal(plain, scan.picture(patches.values[0], patches.grid))
    covered = scan.draw(patches.values[0], patches.grid, Marks(present, ~hidden, hidden))
    changed = (covered != plain).any(-1)
    assert changed.sum() == 8 * 6 + 4 * 6 + 4 * 8


def test_settings_that_cannot_work_are_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"percentiles: expected \[low, high\] with low below high"):
        Volume(percentiles=(0.9, 0.1))
    with pytest.raises(ValueError, match="channel: picks one channel"):
        Volume(channel=2, channels=4)
    with pytest.raises(ValueError, match="patch 16 does not divide size 90; use a size of 80 or 96"):
        Volume(size=90)
    with pytest.raises(ValueError, match="void 1 is one of the 3 classes"):
        VolumeLabels(num_classes=3, void=1)


def test_importing_the_plugin_imports_no_torch() -> None:
    heavy = "{'torch', 'numpy', 'nibabel'}"
    script = f"import sys, maetoolkit_volumes as v; v.Volume(); v.VolumeLabels(); print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
