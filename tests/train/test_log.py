from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from maetoolkit.train.log import Log, read_log
from maetoolkit.train.progress import Progress, describe

RECORD = {"step": 10, "loss": 0.1 + 0.2, "loss/a": 1 / 3, "lr": 1e-4, "samples_per_second": 200.0}


@pytest.fixture(autouse=True)
def _no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maetoolkit.train.log._board", lambda directory, start: None)


def filled(directory: Path, *numbers: int) -> Path:
    log = Log(directory)
    for number in numbers:
        log.write({"step": number, "loss": 1 / number})
    log.close()
    return directory / "log.jsonl"


def test_numbers_are_logged_at_full_precision_one_object_per_line(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(RECORD)
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()  # before it is closed: a line is flushed at once
    assert json.loads(line) == RECORD
    log.close()


def test_resuming_drops_what_a_dead_run_logged_beyond_its_checkpoint(tmp_path: Path) -> None:
    path = filled(tmp_path, 1, 5, 10, 15)
    with path.open("a") as file:
        file.write('{"step": 2')  # cut short by a crash
    Log(tmp_path, start=10).close()
    assert [record["step"] for record in read_log(path)] == [1, 5, 10]
    assert path.read_text() == "".join(json.dumps({"step": n, "loss": 1 / n}) + "\n" for n in (1, 5, 10))


def test_a_run_that_starts_again_starts_an_empty_log(tmp_path: Path) -> None:
    path = filled(tmp_path, 1, 5)
    Log(tmp_path, start=0).close()
    assert path.read_text() == ""


def test_a_step_in_words_names_every_modality_and_the_time_to_go() -> None:
    text = describe(RECORD, num_steps=110, batch=8)
    assert text == "loss 0.3  a 0.3333  200 samples/s  0:00:04 to go"


def test_plain_lines_come_at_most_every_ten_seconds_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 100.0}
    monkeypatch.setattr("time.monotonic", lambda: clock["now"])
    out = io.StringIO()
    progress = Progress(40, console=Console(file=out, width=200, soft_wrap=True))
    progress.start(0)
    for step in (10, 20, 30, 40):
        progress.step(step)
        progress.show({**RECORD, "step": step}, batch=8)
        clock["now"] += 6
    progress.close()
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["10/40", "30/40", "40/40"]


def test_a_terminal_gets_one_moving_line(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    progress = Progress(40, console=Console(file=out, width=120, force_terminal=True))
    progress.start(0)
    progress.show(RECORD, batch=8)
    progress.close()
    assert "10/40" in out.getvalue()
    assert "samples/s" in out.getvalue()


def test_other_ranks_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(40, quiet=True)
    progress.start(0)
    progress.show(RECORD, batch=8)
    progress.say("something")
    progress.close()
    assert capsys.readouterr().out == ""


def test_tensorboard_gets_every_number_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = Log(tmp_path)
    log.write(RECORD)
    log.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == set(RECORD) - {"step"}
    (event,) = events.Scalars("loss/a")
    assert (event.step, event.value) == (10, pytest.approx(1 / 3))


def test_without_tensorboard_there_is_still_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    log = Log(tmp_path)
    log.write(RECORD)
    log.close()
    assert {p.name for p in tmp_path.iterdir()} == {"log.jsonl"}
