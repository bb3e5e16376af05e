"""Files: NIfTI and npy as stored, and what is said of those that are no volume."""

from __future__ import annotations

import gzip
import io

import nibabel
import numpy as np
import pytest
from maetoolkit_volumes import Volume, VolumeLabels

SHAPE = (5, 6, 7)
VOXELS = np.arange(1, 211).reshape(SHAPE).astype(np.int16)


def nifti(array: np.ndarray, affine: np.ndarray | None = None, kind: type = nibabel.Nifti1Image) -> bytes:
    return kind(array, np.eye(4) if affine is None else affine).to_bytes()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_every_way_of_storing_gives_the_same_voxels_of_the_same_type(dtype: type) -> None:
    voxels = VOXELS.astype(dtype)
    plain = nifti(voxels)
    for data in (plain, gzip.compress(plain), nifti(voxels, kind=nibabel.Nifti2Image), npy(voxels)):
        value = Volume().read(data)
        np.testing.assert_array_equal(value, voxels)
        assert value.dtype == dtype


def test_scaling_of_the_header_is_applied() -> None:
    image = nibabel.Nifti1Image(VOXELS, np.eye(4))
    image.header.set_slope_inter(0.5, 3)
    np.testing.assert_allclose(Volume().read(image.to_bytes()), VOXELS * 0.5 + 3)


def test_axes_are_turned_to_right_anterior_superior_unless_declared_otherwise() -> None:
    affine = np.array([[0, 0, -1, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])  # stored as P, S, L
    data = nifti(VOXELS, affine)
    expected = VOXELS.transpose(2, 0, 1)[::-1, ::-1]
    np.testing.assert_array_equal(Volume().read(data), expected)
    np.testing.assert_array_equal(VolumeLabels(num_classes=300, void=None).read(data), expected)
    np.testing.assert_array_equal(Volume(canonical=False).read(data), VOXELS)


def test_channels_are_the_last_axis_and_one_can_be_picked() -> None:
    four = np.stack([VOXELS * k for k in (1, 2, 3, 4)], -1)
    for data in (nifti(four), npy(four)):
        np.testing.assert_array_equal(Volume(channels=4).read(data), four)
        np.testing.assert_array_equal(Volume(channel=2).read(data), VOXELS * 3)
        with pytest.raises(ValueError, match=r"expected 1 channel, found 4 in an array of shape .*; set `channels`"):
            Volume().read(data)
        with pytest.raises(ValueError, match="a file with more than 4 channels, found 4; lower it"):
            Volume(channel=4).read(data)
    np.testing.assert_array_equal(Volume().read(npy(VOXELS[..., None])), VOXELS)


def test_files_that_are_no_volume_are_refused_in_one_line() -> None:
    whole = nifti(VOXELS)
    packed = gzip.compress(whole)
    broken = bytearray(whole)
    broken[70:72] = (9999).to_bytes(2, "little")  # no such type of data
    for data, complaint in (
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(400), "expected a NIfTI .* or npy file, found bytes that begin with 89 50"),
        (whole[:200], "expected a NIfTI"),
        (whole[:-1], "truncated NIfTI file: .* needs 772 bytes, found 771"),
        (packed[: len(packed) // 2], "truncated or damaged gzip file"),
        (packed[:20] + bytes(len(packed) - 20), "damaged"),
        (gzip.compress(b"hello"), "expected a NIfTI"),
        (bytes(broken), "damaged NIfTI header|data code"),
        (npy(VOXELS)[:-1], "truncated npy array"),
        (npy(VOXELS[0]), r"a volume on three axes, channels last, found an array of shape \(6, 7\)"),
        (nifti(VOXELS.astype(np.complex64)), "expected one number per voxel, found NIfTI data of type complex64"),
    ):
        with pytest.raises(ValueError, match=complaint) as caught:
            Volume().read(data)
        assert "\n" not in str(caught.value)


def test_a_file_that_grows_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maetoolkit_volumes.reading.MAX_ARRAY_BYTES", 1000)
    with pytest.raises(ValueError, match="larger than the 1 GiB allowed once decompressed"):
        Volume().read(gzip.compress(bytes(10**6)))


def test_nan_is_refused_unless_it_marks_missing_voxels() -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="expected finite voxels, found NaN or infinity; set `invalid: nan`"):
        Volume().read(npy(voxels))
    np.testing.assert_array_equal(Volume(invalid="nan").read(npy(voxels)), voxels)


def test_labels_are_whole_numbers_of_known_classes() -> None:
    labels = (VOXELS % 3).astype(np.uint8)
    labels[0, 0, 0] = 255
    seg = VolumeLabels(num_classes=3)
    for data in (nifti(labels), npy(labels.astype(np.float32)), npy(labels.astype(np.int64))):
        np.testing.assert_array_equal(seg.read(data), labels)
    for wrong, found in ((labels + 0.5, "0.5|255.5"), (labels.astype(float) * np.nan, "nan"), (labels - 300.0, "-")):
        with pytest.raises(ValueError, match=rf"expected labels 0 to 2 or 255 \(void\), found ({found})"):
            seg.read(npy(wrong))
    with pytest.raises(ValueError, match=r"expected labels 0 to 2, found 255; set `num_classes` or `void`"):
        seg.replace(void=None).read(npy(labels))
