from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maetoolkit.errors import DataError
from maetoolkit.train import checkpoint as checkpoints
from maetoolkit.train.checkpoint import Checkpoint, NoValidCheckpoint, load, newest_valid, problem, save, steps


def content(step: int) -> Checkpoint:
    weights = {"w": torch.full((3, 2), float(step)), "calls": torch.tensor(step), "shared": torch.ones(4)[1:3]}
    return Checkpoint(weights, {"w/exp_avg": torch.full((3, 2), 0.5 * step)}, {"step": step, "versions": {"x": "1"}})


def filled(folder: Path, *numbers: int, keep: int = 99) -> Path:
    for number in numbers:
        save(folder, number, content(number), keep)
    return folder


def test_what_was_saved_is_loaded_to_the_bit(tmp_path: Path) -> None:
    found = load(save(tmp_path, 7, content(7)))
    for name, tensor in content(7).model.items():
        assert torch.equal(found.model[name], tensor)
        assert found.model[name].dtype == tensor.dtype
    assert torch.equal(found.optimizer["w/exp_avg"], content(7).optimizer["w/exp_avg"])
    assert found.state == content(7).state


def test_a_checkpoint_holds_no_pickle_and_anyone_may_read_it(tmp_path: Path) -> None:
    path = save(tmp_path, 1, content(1))
    assert {p.name for p in path.iterdir()} == {
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    }
    assert all(p.stat().st_mode & 0o777 == 0o644 for p in path.iterdir())


def test_newest_is_by_step_number_not_by_name_or_time(tmp_path: Path) -> None:
    filled(tmp_path, 998, 999, 1000)
    for number, when in ((998, 4e9), (999, 2e9), (1000, 0)):
        os.utime(tmp_path / f"step-{number}", (when, when))
    assert newest_valid(tmp_path) == (tmp_path / "step-1000", [])


def test_old_ones_are_pruned_and_two_valid_ones_are_kept(tmp_path: Path) -> None:
    filled(tmp_path, 1, 2, 3, 4, keep=3)
    assert [step for step, _ in steps(tmp_path)] == [4, 3, 2]
    (tmp_path / "step-3" / "state.json").unlink()
    (tmp_path / "step-4" / "state.json").write_text("{}")
    save(tmp_path, 5, content(5), keep=1)
    assert [step for step, _ in steps(tmp_path)] == [5, 4, 3, 2]  # 5 and 2 are the valid ones
    save(tmp_path, 6, content(6), keep=2)
    assert [step for step, _ in steps(tmp_path)] == [6, 5]


def test_a_damaged_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    filled(tmp_path, 1, 2)
    (tmp_path / "step-2" / "model.safetensors").write_bytes(b"")
    save(tmp_path, 2, content(2))
    assert problem(tmp_path / "step-2") is None
    assert {p.name for p in tmp_path.iterdir()} == {"step-1", "step-2"}


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert newest_valid(tmp_path / "none") == (None, [])
    (tmp_path / ".unfinished-step-3").mkdir()
    assert newest_valid(tmp_path) == (None, [])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda p: os.truncate(p / "model.safetensors", 10), "model.safetensors has 10 bytes, expected"),
    "missing": (lambda p: (p / "optimizer.safetensors").unlink(), "optimizer.safetensors is missing"),
    "no manifest": (lambda p: (p / "manifest.json").unlink(), "manifest.json is missing"),
    "empty manifest": (lambda p: (p / "manifest.json").write_text(""), "manifest.json is damaged"),
    "foreign manifest": (lambda p: (p / "manifest.json").write_text("[1]"), "manifest.json is damaged"),
    "moved": (lambda p: shutil.copy(p.parent / "step-1" / "manifest.json", p), "belongs to another"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_named_and_skipped(tmp_path: Path, kind: str) -> None:
    damage, reason = DAMAGE[kind]
    filled(tmp_path, 1, 2)
    damage(tmp_path / "step-2")
    newest, ((name, found),) = newest_valid(tmp_path)
    assert (newest, name) == (tmp_path / "step-1", "step-2")
    assert reason in found


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_flipped_bit_goes_unseen(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "step-1"
    if not path.exists():
        save(tmp_path, 1, content(1))
    file = path / data.draw(st.sampled_from(sorted(p.name for p in path.iterdir())))
    whole = file.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    file.write_bytes(bytes(flipped))
    assert problem(path) is not None
    file.write_bytes(whole)
    assert problem(path) is None


def test_when_all_are_damaged_each_reason_is_given(tmp_path: Path) -> None:
    filled(tmp_path, 1, 2)
    (tmp_path / "step-1" / "state.json").unlink()
    os.truncate(tmp_path / "step-2" / "optimizer.safetensors", 0)
    with pytest.raises(NoValidCheckpoint, match=r"step-2: optimizer.* 0 bytes.*step-1: state.json is missing"):
        newest_valid(tmp_path)


def test_a_checkpoint_of_a_newer_format_is_refused_not_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 1)
    monkeypatch.setattr(checkpoints, "FORMAT", 2)
    filled(tmp_path, 2)
    monkeypatch.setattr(checkpoints, "FORMAT", 1)
    with pytest.raises(DataError, match=r"format 2.*up to 1; upgrade"):
        newest_valid(tmp_path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_tensors_that_are_not_finite_are_never_saved(tmp_path: Path, bad: float) -> None:
    filled(tmp_path, 1)
    spoiled = Checkpoint({"w": torch.tensor([1.0, bad])}, {}, {"step": 2})
    with pytest.raises(DataError, match="step 2: 'w' is not finite"):
        save(tmp_path, 2, spoiled)
    assert [p.name for p in tmp_path.iterdir()] == ["step-1"]


def test_a_disk_that_is_full_leaves_the_older_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 1)

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_synced", full)
    with pytest.raises(DataError, match=r"step-2: cannot be written .*No space left.* bytes are free.*make room"):
        save(tmp_path, 2, content(2))
    assert newest_valid(tmp_path) == (tmp_path / "step-1", [])
    assert [p.name for p in tmp_path.iterdir()] == ["step-1"]


def test_files_are_synced_then_the_manifest_then_the_name_and_only_then_is_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, 1, 2)
    events: list[str] = []
    fsync, rename, rmtree = os.fsync, Path.rename, shutil.rmtree

    def name(handle: int) -> str:
        return Path(f"/proc/self/fd/{handle}").readlink().name

    monkeypatch.setattr(os, "fsync", lambda handle: (events.append(f"sync {name(handle)}"), fsync(handle))[1])
    monkeypatch.setattr(Path, "rename", lambda a, b: (events.append(f"rename {a.name} {b.name}"), rename(a, b))[1])
    monkeypatch.setattr(
        shutil, "rmtree", lambda p, **k: (events.append(f"remove {p.name}") if p.exists() else None, rmtree(p, **k))[1]
    )
    save(tmp_path, 3, content(3))
    files = ["model.safetensors", "optimizer.safetensors", "state.json"]
    assert sorted(set(events[: events.index("sync manifest.json")])) == [f"sync {file}" for file in files]
    assert events[events.index("sync manifest.json") :] == [
        "sync manifest.json",
        "sync .unfinished-step-3",
        "rename .unfinished-step-3 step-3",
        f"sync {tmp_path.name}",
        "remove step-1",
    ]


def test_the_manifest_names_every_file_with_size_and_hash(tmp_path: Path) -> None:
    path = save(tmp_path, 4, content(4))
    listed = json.loads((path / "manifest.json").read_text())["content"]
    assert listed["step"] == 4
    assert set(listed["files"]) == {p.name for p in path.iterdir()} - {"manifest.json"}
    assert all(len(entry["sha256"]) == 64 and entry["size"] > 0 for entry in listed["files"].values())
