from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maetoolkit.data.folder import Folder, is_held_out, same_aspect
from maetoolkit.errors import ConfigError, DataError
from maetoolkit.modalities import RGB, Depth, Semantic
from maetoolkit.modality import ModalitySet

MODALITIES = ModalitySet(rgb=RGB(size=32), depth=Depth(size=32), semantic=Semantic(num_classes=10, size=32))


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    return path


def write_sample(folder: Path, key: str, level: int = 100, size: tuple[int, int] = (40, 50)) -> None:
    save(folder / "rgb" / f"{key}.jpg", np.full((*size, 3), level, np.uint8))
    save(folder / "depth" / f"{key}.png", np.full(size, 1000 + level, np.uint16))
    save(folder / "semantic" / f"{key}.png", np.full(size, level % 10, np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, key in enumerate(
        ["a/one", "a/two", "b/c/three", "plain", "with space", "größe ü 漢字", "dot.ted.name"]
    ):
        write_sample(tmp_path / "train", key, 100 + number)
    write_sample(tmp_path / "val", "only")
    return tmp_path


def opened(root: Path, modalities: ModalitySet = MODALITIES, subset: str = "train", **settings: object):  # type: ignore[no-untyped-def]
    return Folder(root=str(root), **settings).open(modalities, subset)  # type: ignore[arg-type]


def refusal(root: Path, modalities: ModalitySet = MODALITIES, subset: str = "train", **settings: object) -> str:
    """The message with which all samples of a folder are refused, at opening or when read."""

    def read_all() -> None:
        samples = opened(root, modalities, subset, **settings)
        for index in range(len(samples)):
            samples.read(index)

    with pytest.raises((DataError, ConfigError)) as caught:
        read_all()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_are_joined_by_key_whatever_their_names(root: Path) -> None:
    samples = opened(root)
    assert len(samples) == 7
    assert [samples.key(i) for i in range(7)] == sorted(samples.key(i) for i in range(7))
    for index in range(7):
        values = samples.read(index)
        level = int(values["depth"].max()) - 1000
        assert abs(int(values["rgb"].mean()) - level) <= 1
        assert values["semantic"].max() == level % 10


def test_a_removed_file_never_pairs_the_others_wrongly(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "train/depth/a/one.png").unlink()
    with caplog.at_level(logging.WARNING):
        samples = opened(root, missing="absent")
    assert "7 samples, missing files: depth 1" in caplog.text
    for index in range(7):
        values = samples.read(index)
        if samples.key(index) == "a/one":
            assert values["depth"] is None
        else:
            assert abs(int(values["rgb"].mean()) + 1000 - int(values["depth"].max())) <= 1


def test_a_missing_file_is_an_error_that_names_key_modality_count_and_remedy(root: Path) -> None:
    (root / "train/depth/a/two.png").unlink()
    (root / "train/depth/plain.png").unlink()
    message = refusal(root)
    for part in ("'a/two'", "has rgb but no depth", "of 7 keys", "depth 2", "data.missing=absent"):
        assert part in message


def test_samples_without_any_input_are_left_out_and_counted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    modalities = ModalitySet(rgb=RGB(size=32), depth=Depth(size=32, role="target"))
    (root / "train/rgb/plain.jpg").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(opened(root, modalities, missing="absent")) == 6
    assert "1 without any input left out" in caplog.text


def test_folders_without_a_common_key_say_so(root: Path) -> None:
    (root / "train/depth").rename(root / "train/old")
    (root / "train/old").rename(root / "train/depth2")
    (root / "train/depth").mkdir()
    (root / "train/depth2").rename(root / "train/depth/deeper")
    assert "no key is in all of them" in refusal(root)


def test_two_files_with_one_key_are_refused_by_name(root: Path) -> None:
    save(root / "train/rgb/a/one.png", np.zeros((40, 50, 3), np.uint8))
    message = refusal(root)
    assert "a/one.jpg" in message
    assert "a/one.png" in message


def test_a_missing_root_names_the_nearest_folder_and_what_is_there(root: Path) -> None:
    message = refusal(root / "trian" / "more")
    assert f"{root / 'trian' / 'more'} does not exist" in message
    assert f"{root} has the folders train, val" in message
    assert "did you mean" in refusal(root.parent / (root.name + "x"))
    assert "found a file" in refusal(save(root / "file.png", np.zeros((2, 2), np.uint8)))


def test_a_missing_split_or_modality_folder_lists_those_that_are_there(root: Path) -> None:
    message = refusal(root, split="training")
    assert "did you mean 'train'?" in message
    assert "data.split=null" in message
    (root / "train/semantic").rename(root / "train/semseg")
    message = refusal(root)
    assert "depth, rgb, semseg" in message
    assert "data.streams.semantic=FOLDER" in message
    assert len(opened(root, streams={"semantic": "semseg"})) == 7


@pytest.mark.parametrize("name", ["root", "split", "validation", "streams"])
def test_a_folder_that_cannot_be_looked_at_is_named_with_its_setting(root: Path, name: str) -> None:
    long = "x" * 300  # beyond what a file system takes, so that even root gets an error of the system
    value = {"root": str(root / long), "streams": {"rgb": long}}.get(name, long)
    source = Folder(**{"root": str(root), name: value})
    with pytest.raises(DataError, match=f"data.{name}.*cannot be read"):
        source.open(MODALITIES, "validation" if name == "validation" else "train")


def test_streams_of_unknown_entries_and_paths_upwards_are_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"streams.semantics: .*did you mean 'semantic'\?"):
        Folder(root=str(root), streams={"semantics": "semseg"}).check(MODALITIES)
    for name in ("../other", "/etc", ""):
        with pytest.raises(ValueError, match="below the data's root"):
            Folder(root=str(root), streams={"rgb": name})


def test_an_empty_dataset_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    for name in MODALITIES.fields:
        (tmp_path / "train" / name).mkdir(parents=True)
    assert "there is no file at all" in refusal(tmp_path)
    (tmp_path / "train/rgb/picture.tif").touch()
    message = refusal(tmp_path)
    assert "rgb: .jpg" in message
    assert "only files with .tif" in message


def test_modalities_may_lie_in_the_root_itself(root: Path) -> None:
    assert len(opened(root / "train", split=None)) == 7


def test_the_default_validation_folder_may_be_missing_another_may_not(root: Path) -> None:
    assert len(opened(root, subset="validation")) == 1
    (root / "val").rename(root / "test")
    assert opened(root, subset="validation") is None
    assert opened(root, subset="validation", validation=None) is None
    assert "did you mean 'test'?" in refusal(root, subset="validation", validation="tests")


def test_a_held_out_share_depends_on_the_key_alone(root: Path) -> None:
    train, held = (opened(root, subset=s, validation=0.5) for s in ("train", "validation"))
    assert set(train.keys) | set(held.keys) == set(opened(root).keys)
    assert not set(train.keys) & set(held.keys)
    (root / "train/rgb/a/one.jpg").unlink()
    assert set(held.keys) - {"a/one"} == set(
        opened(root, subset="validation", validation=0.5, missing="absent").keys
    ) - {"a/one"}
    assert 0.08 < np.mean([is_held_out(str(i), 0.1) for i in range(5000)]) < 0.12


def test_damaged_files_are_named(root: Path) -> None:
    path = root / "train/rgb/plain.jpg"
    whole = path.read_bytes()
    path.write_bytes(b"")
    message = refusal(root)
    assert str(path) in message
    assert "zero bytes" in message
    path.write_bytes(whole[: len(whole) // 2])
    assert str(path) in refusal(root)
    path.write_bytes(b"not an image at all")
    assert "expected a JPEG, PNG, WebP or npy file" in refusal(root)


def test_fields_of_different_size_name_both_files_and_the_remedy(root: Path) -> None:
    write_sample(root / "train", "plain", size=(40, 50))
    path = save(root / "train/depth/plain.png", np.full((20, 25), 1000, np.uint16))
    message = refusal(root)
    for part in (str(path), str(root / "train/rgb/plain.jpg"), "50x40", "25x20", "data.align=aspect"):
        assert part in message
    assert len(opened(root, align="aspect").read(opened(root).keys.index("plain"))) == 3
    save(path, np.full((25, 20), 1000, np.uint16))
    assert "aspect ratio" in refusal(root, align="aspect")


def test_wrong_labels_bit_depths_and_nan_name_the_file(root: Path) -> None:
    path = save(root / "train/semantic/plain.png", np.full((40, 50), 10, np.uint8))
    message = refusal(root)
    assert str(path) in message
    assert "found 10" in message
    write_sample(root / "train", "plain")
    path = save(root / "train/depth/plain.png", np.full((40, 50), 7, np.uint8))
    assert str(path) in refusal(root)
    path.unlink()
    path = save(path.with_suffix(".npy"), np.full((40, 50), np.nan, np.float32))
    assert str(path) in refusal(root, ModalitySet(rgb=RGB(size=32), depth=Depth(size=32, bits=None)))


def test_hidden_and_foreign_files_are_passed_over(root: Path) -> None:
    (root / "train/rgb/._plain.jpg").touch()
    (root / "train/rgb/.cache").mkdir()
    (root / "train/rgb/.cache/x.jpg").touch()
    (root / "train/rgb/notes.txt").touch()
    assert len(opened(root)) == 7


def test_a_suffix_of_two_parts_is_no_part_of_the_key(tmp_path: Path) -> None:
    class Packed(RGB):
        suffixes = (".gz", ".npy.gz", ".npy")

    for name in ("packed.one.npy.gz", "Packed.TWO.NPY.GZ", "plain.npy", "gzipped.gz"):
        save(tmp_path / "train" / "rgb" / "x.npy", np.zeros((8, 8, 3), np.uint8)).rename(
            tmp_path / "train" / "rgb" / name
        )
    assert opened(tmp_path, ModalitySet(rgb=Packed(size=32))).keys == ["Packed.TWO", "gzipped", "packed.one", "plain"]


def test_linked_folders_are_followed_and_circles_end(root: Path, tmp_path: Path) -> None:
    (root / "train/rgb/a/again").symlink_to(root / "train/rgb")
    assert len(opened(root)) == 7


def test_settings_hash_and_survive_a_round_trip(root: Path) -> None:
    source = Folder(root=str(root), streams={"semantic": "semseg"}, validation=0.1)
    assert hash(source) == hash(Folder.model_validate(source.model_dump(mode="json")))
    assert Folder.model_validate(source.model_dump(mode="json")) == source
    assert Folder.model_validate_json(source.model_dump_json()) == source


def test_aspect_ratios_agree_up_to_whole_pixels() -> None:
    assert same_aspect((480, 640), (258, 344))
    assert same_aspect((240, 320), (224, 299))
    assert not same_aspect((480, 640), (640, 480))
    assert not same_aspect((100, 100), (100, 104))
