"""Every way a run can end at the command line: one message, the right exit code, no traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from tiny_world import settings, write_samples

from maetoolkit.cli import main
from maetoolkit.errors import ConfigError, DataError
from maetoolkit.evaluate.callback import Reporter
from maetoolkit.train.callbacks import Callback
from maetoolkit.train.run import Run, build_model, pretrain


@pytest.fixture(autouse=True)
def _no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maetoolkit.train.log._board", lambda directory, start: None)


def command(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def assert_told(result: Result, code: int, *parts: str) -> None:
    """It ended with `code` and one message that holds `parts`, as an error of ours and not of Python's."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert "Warning" not in result.output
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for part in parts:
        assert part in result.stderr


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    """Writes a tiny recipe of two steps, with samples in `train`, as a file."""

    def write(**changes: Any) -> str:
        write_samples(tmp_path / "data" / "train")
        document = settings(tmp_path / "data", tmp_path / "run")
        document.update({"steps": 2, "report": {"samples": 2, "masks": 1}})
        document["data"]["split"] = "train"
        for section, values in changes.items():
            document[section].update(values)
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(document))
        return str(path)

    return write


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    from maetoolkit.train.recipe import load_recipe

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maetoolkit.train.log._board", lambda directory, start: None)
        run = pretrain(load_recipe(settings(pictures, tmp_path_factory.mktemp("trained") / "run"), ["steps=1"]))
    return run.path


def test_a_validation_folder_that_is_missing_is_told_before_training(file, tmp_path: Path) -> None:
    result = command("pretrain", file(), "data.validation=valid")
    assert_told(result, 1, "data.validation", "valid does not exist")
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_a_damaged_validation_sample_ends_with_1_and_says_that_the_weights_are_safe(file, tmp_path: Path) -> None:
    recipe = file()
    write_samples(tmp_path / "data" / "val", 2)
    (tmp_path / "data" / "val" / "rgb" / "000.png").write_bytes(b"")
    result = command("pretrain", recipe)
    assert_told(result, 1, "000.png", "weights are safe", f"maetool report {tmp_path / 'run'}")
    write_samples(tmp_path / "data" / "val", 2)
    assert command("report", str(tmp_path / "run")).exit_code == 0


class Failing(Callback):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def on_checkpoint(self, run: Run, path: Path) -> None:
        raise self.error

    def on_end(self, run: Run) -> None:
        raise self.error


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("error", [RuntimeError("no\nfont"), KeyError("glyph"), OSError(28, "No space left")])
def test_any_other_error_of_a_listener_is_one_plain_line(recipe, error: Exception, capsys) -> None:
    run = pretrain(recipe("steps=1"), [Failing(error)])
    assert run.finished
    lines = [line for line in capsys.readouterr().out.splitlines() if "Failing failed" in line]
    assert len(lines) == 2
    assert type(error).__name__ in lines[0]
    assert ".py" not in lines[0]


@pytest.mark.parametrize("kind", [ConfigError, DataError])
def test_an_error_of_the_user_at_a_checkpoint_lets_training_go_on_and_at_the_end_is_an_error(recipe, kind) -> None:
    class Counts(Callback):
        ended = 0

        def on_end(self, run: Run) -> None:
            self.ended += 1

    last = Counts()
    with pytest.raises(DataError, match="weights are safe"):
        pretrain(recipe("steps=2", "checkpoint.every=1"), [Failing(kind("val/a.png: broken")), last])
    assert last.ended == 1


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["encoder.dim=30", "encoder.heads=3"], ["encoder.dim", "multiple of 4", "found 30"]),
        (["decoder.dim=18", "decoder.heads=2"], ["decoder.dim", "multiple of 4", "found 18"]),
        (["encoder.name=vit_foo"], ["encoder.name", "vit_foo"]),
        (["encoder.attention=xformers"], ["encoder.attention", "xformers"]),
    ],
)
def test_a_model_that_cannot_be_built_is_one_message_and_2(file, words: list[str], parts: list[str]) -> None:
    if "xformers" in words[0]:
        import torch

        if torch.accelerator.is_available():
            pytest.skip("looks at what a CPU refuses")
    assert_told(command("pretrain", file(), *words), 2, *parts)


def test_show_counts_a_model_whose_attention_this_machine_lacks(file) -> None:
    result = command("show", file(), "encoder.attention=xformers")
    assert result.exit_code == 0, result.output
    assert "GFLOP per sample" in result.output


def test_widths_are_free_where_positions_are_learned(recipe) -> None:
    words = [f"modalities.{name}.position=learned" for name in ("rgb", "depth")]
    build_model(recipe(*words, "encoder.dim=30", "encoder.heads=3", "decoder.dim=18", "decoder.heads=2"))


@pytest.mark.parametrize(
    ("form", "name", "content"),
    [("timm", "taken", "a file"), ("safetensors", "folder", None), ("timm", "taken/below", "a file")],
)
def test_a_place_that_cannot_be_exported_to_is_named(trained: Path, tmp_path: Path, form, name, content) -> None:
    if content is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name.split("/")[0]).write_text(content)
    result = command("export", str(trained), "--to", form, "--out", str(tmp_path / name))
    assert_told(result, 2, str(tmp_path / name), "cannot be written", "--out")


@pytest.mark.parametrize("form", ["timm", "safetensors"])
def test_proc_cannot_be_exported_to(trained: Path, form: str) -> None:
    assert_told(command("export", str(trained), "--to", form, "--out", "/proc/x/y"), 2, "/proc/x/y", "--out")


def test_a_report_that_cannot_be_written_names_its_file(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / ".report.html.tmp").mkdir()  # root may write anywhere, but not a file onto a folder
    assert_told(command("report", str(tmp_path / "run")), 2, "report.html", "cannot be written")


@pytest.mark.parametrize("name", ["report", "export"])
def test_a_run_that_cannot_be_looked_at_is_named(name: str) -> None:
    words = ["--to", "timm"] if name == "export" else []
    assert_told(command(name, "x" * 300, *words), 2, "cannot be read")


@pytest.mark.parametrize("name", ["log.jsonl", "checkpoints"])
def test_a_part_of_a_run_that_cannot_be_read_is_named(trained: Path, tmp_path: Path, name: str, monkeypatch) -> None:
    shutil.copytree(trained, tmp_path / "run")

    def refused(path: Path, *rest: Any, **others: Any) -> Any:
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return method(path, *rest, **others)

    method = getattr(Path, what := "read_text" if name == "log.jsonl" else "iterdir")
    monkeypatch.setattr(Path, what, refused)  # root may read whatever its permissions are
    assert_told(command("report", str(tmp_path / "run")), 1, str(tmp_path / "run" / name), "cannot be read")


def test_the_last_report_tells_what_is_wrong_with_its_file(recipe) -> None:
    built = recipe("steps=1", "report.samples=2")
    (Path(built.run) / ".report.html.tmp").mkdir(parents=True)
    with pytest.raises(DataError, match=r"report\.html.*weights are safe"):
        pretrain(built, [Reporter()])
    assert json.loads((Path(built.run) / "log.jsonl").read_text().splitlines()[-1])["step"] == 1
