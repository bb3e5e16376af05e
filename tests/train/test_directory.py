from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from maetoolkit.errors import ConfigError
from maetoolkit.train.directory import check_recipe, held, identity_changes, write_atomically, write_recipe

HOLD = """
import os, sys, time
from pathlib import Path
from maetoolkit.train.directory import held
with held(Path(sys.argv[1])):
    if len(sys.argv) > 2 and os.fork() != 0:
        time.sleep(60)  # the worker tells that it lives
    print("held", flush=True)
    time.sleep(60)
"""


def holder(directory: Path, *more: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory), *more], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_and_told_who_holds_the_directory(tmp_path: Path) -> None:
    process = holder(tmp_path / "run")
    try:
        with (
            pytest.raises(ConfigError, match=rf"in use by process {process.pid} on .* \(since .*run=DIR"),
            held(tmp_path / "run"),
        ):
            pass
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def test_a_killed_holder_leaves_no_lock_even_if_its_workers_live_on(tmp_path: Path) -> None:
    process = holder(tmp_path / "run", "with a worker")
    try:
        process.kill()
        process.wait()
        with held(tmp_path / "run"):
            assert json.loads((tmp_path / "run" / ".lock").read_text())["pid"] == os.getpid()
    finally:
        os.killpg(process.pid, 9)


def test_a_directory_can_be_held_again_once_it_is_let_go(tmp_path: Path) -> None:
    for _ in range(2):
        refused = pytest.raises(ConfigError, match=f"in use by process {os.getpid()}")
        with held(tmp_path / "run"), refused, held(tmp_path / "run"):
            pass
    assert (tmp_path / "run" / ".lock").read_text() == ""


def test_a_place_that_cannot_be_written_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match=r"cannot write in '.*file/run'.*choose another"),
        held(tmp_path / "file" / "run"),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_directory_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(ConfigError, match="cannot write in"), held(tmp_path):
        pass


def test_replacing_a_file_leaves_the_old_one_if_the_new_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recipe.yaml"
    write_atomically(path, "old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"


def test_another_recipe_is_refused_with_every_difference(recipe, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    (directory / "checkpoints" / "step-5").mkdir(parents=True)
    write_recipe(directory, recipe())
    with pytest.raises(ConfigError) as caught:
        check_recipe(directory, recipe("seed=4", "optimizer.lr=1e-3", "modalities.depth.patch=8"))
    lines = str(caught.value).splitlines()
    assert "holds another recipe" in lines[0]
    assert [line.split(":")[0].strip() for line in lines[1:-1]] == ["seed", "modalities.depth.patch", "optimizer.lr"]
    assert "3 -> 4" in lines[1]
    assert "run=DIR" in lines[-1]


def test_settings_that_change_no_numbers_may_differ(recipe, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    (directory / "checkpoints" / "step-5").mkdir(parents=True)
    write_recipe(directory, recipe())
    harmless = ("data.workers=2", "micro_batch=2", "stop_after=10", "log.every=1", "checkpoint.every=3", "compile=true")
    check_recipe(directory, recipe(*harmless))


def test_a_directory_without_results_is_free_for_another_recipe(recipe, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write_recipe(tmp_path / "run", recipe())
    check_recipe(tmp_path / "run", recipe("seed=4"))
    (tmp_path / "run" / "log.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(ConfigError, match="holds another recipe"):
        check_recipe(tmp_path / "run", recipe("seed=4"))


def test_checkpoints_of_nobody_are_not_touched(recipe, tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints" / "step-5").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"checkpoints but no recipe.yaml"):
        check_recipe(tmp_path / "run", recipe())


def test_the_order_of_modalities_is_part_of_the_identity() -> None:
    one = {"modalities": [{"name": "a"}, {"name": "b"}]}
    other = {"modalities": [{"name": "b"}, {"name": "a"}]}
    assert identity_changes(one, other) == ["modalities (order): ['a', 'b'] -> ['b', 'a']"]
    assert identity_changes(one, one) == []
