from __future__ import annotations

import io
import os
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from maetoolkit_text import HDF5, Text
from PIL import Image
from vocabularies import write_vocabulary

from maetoolkit.data.loader import StepLoader
from maetoolkit.errors import DataError
from maetoolkit.masking import Share
from maetoolkit.modalities import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.testing import check_source

CAPTIONS = ["a dog", "red snow", "", "a cat sits", "grass", "a dog runs"]
STREAMS = {"rgb": "jpg", "text": "caption"}


def jpeg(number: int, size: tuple[int, int] = (24, 16)) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def path(tmp_path) -> str:
    file = tmp_path / "data.hdf5"
    with h5py.File(file, "w") as data:
        images = data.create_dataset("jpg", (6,), h5py.vlen_dtype(np.uint8))
        for row in range(6):
            images[row] = np.frombuffer(b"" if row == 1 else jpeg(row), np.uint8)
        data.create_dataset("caption", data=CAPTIONS, dtype=h5py.string_dtype())
        data.create_dataset("id", data=[f"n{row}" for row in range(6)], dtype=h5py.string_dtype())
        data.create_dataset("label", data=np.arange(6))
        data.create_dataset("five", data=np.array([["a", "b", ""]] * 6, dtype=object), dtype=h5py.string_dtype())
        data.create_dataset("fixed", data=np.array([caption.encode() for caption in CAPTIONS], "S12"))
        data.create_dataset("short", data=CAPTIONS[:3], dtype=h5py.string_dtype())
        data.create_dataset("twice", data=["a"] * 6, dtype=h5py.string_dtype())
    return str(file)


@pytest.fixture
def modalities(tmp_path) -> ModalitySet:
    return ModalitySet(rgb=RGB(size=8, patch=4), text=Text(tokenizer=write_vocabulary(tmp_path), max_length=6))


def opened(modalities: ModalitySet, subset: str = "train", **choices):
    samples = HDF5(**{"streams": STREAMS, **choices}).open(modalities, subset)
    assert samples is not None
    return samples


def test_all_laws_of_sources_hold(path: str, modalities) -> None:
    def write(entry: str, row: int, value) -> None:
        """A changed copy in place of the file, which readers may hold open."""
        shutil.copy(path, f"{path}.new")
        with h5py.File(f"{path}.new", "a") as file:
            file[entry][row] = value
        Path(f"{path}.new").replace(path)

    def remove(key: str, entry: str):
        with h5py.File(path) as file:
            before = file[entry][int(key)]
        write(entry, int(key), np.empty(0, np.uint8) if entry == "rgb" else "")
        return lambda: write(entry, int(key), before)

    with h5py.File(path, "a") as file:
        file["rgb"], file["text"] = file["jpg"], file["caption"]
    check_source(HDF5(file=path), modalities, remove=remove)


def test_rows_are_samples_and_an_empty_row_is_an_absent_entry(path: str, modalities) -> None:
    samples = opened(modalities, file=path)
    assert len(samples) == 6
    rows = [samples.read(index) for index in range(6)]
    assert [row["rgb"] is None for row in rows] == [False, True, False, False, False, False]
    assert [None if row["text"] is None else row["text"].tolist() for row in rows] == [
        None if caption == "" else [caption] for caption in CAPTIONS
    ]
    np.testing.assert_array_equal(rows[0]["rgb"], modalities["rgb"].read(jpeg(0)))
    assert samples.key(3) == "00000003"


def test_rows_may_have_names_several_captions_and_fixed_lengths(path: str, modalities) -> None:
    samples = opened(modalities, file=path, key="id", streams={"rgb": "jpg", "text": "five"})
    assert [samples.key(index) for index in range(6)] == [f"n{row}" for row in range(6)]
    assert samples.read(0)["text"].tolist() == ["a", "b"]
    fixed = opened(modalities, file=path, streams={"rgb": "jpg", "text": "fixed"})
    assert fixed.read(3)["text"].tolist() == ["a cat sits"]
    assert fixed.read(2)["text"] is None


def test_a_held_out_share_depends_on_the_keys_alone(path: str, modalities) -> None:
    parts = [opened(modalities, subset, file=path, validation=0.5) for subset in ("train", "validation")]
    keys = [{part.key(index) for index in range(len(part))} for part in parts]
    assert not keys[0] & keys[1]
    assert keys[0] | keys[1] == {f"{row:08d}" for row in range(6)}
    assert HDF5(file=path).open(modalities, "validation") is None
    whole = opened(modalities, "validation", file=path, validation=path)
    assert len(whole) == 6


def test_an_entry_without_dataset_is_absent_or_an_error(path: str, modalities) -> None:
    text_only = opened(modalities, file=path, streams={"text": "caption"})
    assert text_only.read(0)["rgb"] is None
    with pytest.raises(DataError, match=r"no dataset 'rgb' for rgb, there are: caption, .*; set data.streams.rgb"):
        opened(modalities, file=path, streams={"text": "caption"}, missing="error")
    samples = opened(modalities, file=path, missing="error")
    with pytest.raises(DataError, match=r"jpg of row '00000001': is empty \(data.missing=absent"):
        samples.read(1)


def test_a_pickle_and_a_fork_open_the_file_for_themselves(path: str, modalities) -> None:
    samples = opened(modalities, file=path)
    expected = samples.read(0)["text"]
    assert pickle.loads(pickle.dumps(samples)).read(0)["text"] == expected
    child = os.fork()
    if child == 0:
        os._exit(0 if samples.read(3)["text"].tolist() == ["a cat sits"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert samples.read(0)["text"] == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_it_feeds_the_loader_and_captions_are_kept_for_a_share_of_the_samples(workers, path: str, modalities) -> None:
    source = HDF5(file=path, streams=STREAMS, keep={"text": 0.5}, flip=0)
    samples = source.open(modalities, "train")
    samples.rows.remove(1)  # it has no image, and may lose its caption
    settings = {"seed": 0, "batch": 5, "num_steps": 4, "workers": workers, "sampler": Share(ratio=0.5).build()}
    batches = [parts[0] for _, parts in StepLoader(samples, modalities, source, **settings)]
    with_text = {
        key: bool(flags.any())
        for batch in batches
        for key, flags in zip(batch.keys, batch.fields["text"].present, strict=True)
    }
    for key, found in with_text.items():
        row = int(key)
        assert found == (source.kept({"text": np.array(["x"])}, key)["text"] is not None and CAPTIONS[row] != "")
    assert len(with_text) == 5


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"file": "nowhere.hdf5"}, "expected an HDF5 file, nowhere.hdf5: it does not exist"),
        ({"streams": {"rgb": "label"}}, r"'label' of rgb holds int64 of shape \(6,\); expected a row of bytes"),
        ({"streams": {"rgb": "jpg", "text": "short"}}, "must have one row per sample, found jpg 6, short 3"),
        ({"streams": {"rgb": "none", "text": "no"}}, "no entry has a dataset, there are: caption"),
        ({"key": "short"}, "should have a dataset 'short' of 6 rows, found 3 rows"),
        ({"key": "none"}, "should have a dataset 'none' of 6 rows, found there are"),
        ({"key": "twice"}, "has 'a' twice in 'twice'"),
        ({"validation": 1e-9}, None),
    ],
)
def test_files_that_cannot_be_used_say_why(choices, message: str | None, path: str, modalities) -> None:
    settings = {"file": path, **choices}
    if message is None:
        with pytest.raises(DataError, match="leaves no validation sample"):
            opened(modalities, "validation", **settings)
        return
    with pytest.raises(DataError, match=message):
        opened(modalities, **settings)


def test_a_file_that_is_no_hdf5_is_named(tmp_path, modalities) -> None:
    (tmp_path / "x.hdf5").write_text("not at all")
    with pytest.raises(DataError, match=r"x.hdf5 cannot be read as HDF5"):
        opened(modalities, file=str(tmp_path / "x.hdf5"))
    with pytest.raises(DataError, match="found a folder"):
        opened(modalities, file=str(tmp_path))


def test_rows_that_cannot_be_read_name_dataset_and_row(path: str, tmp_path, modalities) -> None:
    with h5py.File(path, "a") as file:
        file["jpg"][3] = np.frombuffer(b"no image", np.uint8)
        file["wide"] = h5py.Empty("f")
        depth = file.create_dataset("depth", (6,), h5py.vlen_dtype(np.uint8))
        depth[0] = np.frombuffer(jpeg(0, (10, 10)), np.uint8)
    with pytest.raises(DataError, match=r"data.hdf5, jpg of row '00000003': expected a JPEG, PNG"):
        opened(modalities, file=path).read(3)
    with pytest.raises(DataError, match="'wide' of rgb holds"):
        opened(modalities, file=path, streams={"rgb": "wide"})
    two = ModalitySet(rgb=modalities["rgb"], depth=RGB(size=8, patch=4))
    with pytest.raises(DataError, match="expected depth of the aspect ratio of rgb, 24x16, found 10x10"):
        opened(two, file=path, streams={"rgb": "jpg"}).read(0)
