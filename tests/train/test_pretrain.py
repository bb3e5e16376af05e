from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_world import write_samples

from maetoolkit.errors import ConfigError, DataError
from maetoolkit.train.callbacks import Callback
from maetoolkit.train.checkpoint import NoValidCheckpoint
from maetoolkit.train.directory import held
from maetoolkit.train.forensics import NonFiniteLoss
from maetoolkit.train.log import read_log
from maetoolkit.train.loop import Trainer
from maetoolkit.train.run import Interrupted, Run, build_model, load_run, pretrain


@pytest.fixture(autouse=True)
def _no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maetoolkit.train.log._board", lambda directory, start: None)


def losses(run: Run) -> list[dict[str, float]]:
    """The log without what depends on the clock, floats as they were written."""
    return [
        {k: v for k, v in record.items() if k != "samples_per_second"} for record in read_log(run.path / "log.jsonl")
    ]


def newest(path: Path) -> int:
    return max(int(p.name.removeprefix("step-")) for p in (path / "checkpoints").glob("step-*"))


@pytest.fixture(scope="module")
def gold(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Run:
    """20 steps without a break."""
    from tiny_world import settings

    from maetoolkit.train.recipe import load_recipe

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maetoolkit.train.log._board", lambda directory, start: None)
        return pretrain(load_recipe(settings(pictures, tmp_path_factory.mktemp("gold") / "run")))


def assert_same(run: Run, gold: Run) -> None:
    assert losses(run) == losses(gold)
    for (name, one), other in zip(gold.model.state_dict().items(), run.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    stored = [(r.path / "checkpoints" / "step-20" / "optimizer.safetensors").read_bytes() for r in (run, gold)]
    assert stored[0] == stored[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_ten_steps_and_ten_more_are_twenty_to_the_bit(recipe, gold: Run, workers: int) -> None:
    first = pretrain(recipe(f"data.workers={workers}", "stop_after=10"))
    assert (first.step, first.finished, newest(first.path)) == (10, False, 10)
    second = pretrain(recipe(f"data.workers={workers}"))
    assert second.finished
    assert_same(second, gold)


def test_a_run_killed_between_checkpoints_comes_to_the_same_end(
    recipe, gold: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer._step

    def killed(self: Trainer, number: int, *rest: Any) -> Any:
        if number == 12:
            raise MemoryError
        return step(self, number, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", killed)
        with pytest.raises(MemoryError):
            pretrain(recipe("log.every=1"))
    assert [r["step"] for r in read_log(recipe().run / Path("log.jsonl"))] == list(range(1, 13))
    assert newest(Path(recipe().run)) == 10
    run = pretrain(recipe())
    assert losses(run)[-2:] == losses(gold)[-2:]
    assert [r["step"] for r in losses(run)] == [*range(1, 11), 15, 20]


def test_the_log_has_all_losses_and_the_learning_rate(gold: Run) -> None:
    records = read_log(gold.path / "log.jsonl")
    assert [record["step"] for record in records] == [1, 5, 10, 15, 20]
    assert set(records[0]) == {"step", "loss", "loss/rgb", "loss/depth", "lr", "tokens", "samples_per_second"}
    assert records[0]["lr"] == 1e-6
    assert all(r["loss"] == pytest.approx(r["loss/rgb"] + r["loss/depth"], rel=1e-6) for r in records)
    assert records[-1]["loss"] < 0.7 * records[0]["loss"]


def test_the_directory_keeps_the_resolved_recipe_with_versions(gold: Run) -> None:
    kept = yaml.safe_load((gold.path / "recipe.yaml").read_text())
    assert (
        kept["versions"]["torch"] == torch.__version__.split("+")[0] or kept["versions"]["torch"] == torch.__version__
    )
    assert kept["optimizer"]["weight_decay"] == 0.05
    state = json.loads((gold.path / "checkpoints" / "step-20" / "state.json").read_text())
    assert (state["step"], state["epoch"], state["position"]) == (20, 13, 4)  # 160 samples of 12 each epoch


def test_a_finished_run_says_so_and_changes_nothing(recipe, capsys: pytest.CaptureFixture[str]) -> None:
    made = recipe("steps=2")
    pretrain(made)
    path = Path(made.run)
    before = {p: p.stat().st_mtime_ns for p in path.rglob("*") if p.is_file() and p.name != ".lock"}
    capsys.readouterr()
    run = pretrain(made)
    assert run.finished
    assert "this run is finished (2 of 2 steps)" in capsys.readouterr().out
    assert before == {p: p.stat().st_mtime_ns for p in path.rglob("*") if p.is_file() and p.name != ".lock"}


def test_a_run_is_loaded_with_its_newest_weights(gold: Run) -> None:
    recipe, model = load_run(gold.path)
    assert recipe.identity() == gold.recipe.identity()
    for one, other in zip(gold.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_loading_what_is_no_run_or_has_not_been_trained_says_so(recipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a run directory"):
        load_run(tmp_path)
    (tmp_path / "recipe.yaml").write_text(recipe().yaml())
    with pytest.raises(DataError, match="no checkpoint yet"):
        load_run(tmp_path)


def test_initial_weights_follow_from_the_seed_and_leave_global_randomness_alone(recipe) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    one, other = build_model(recipe()), build_model(recipe())
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    third = build_model(recipe("seed=4"))
    assert not torch.equal(one.encoder.global_tokens, third.encoder.global_tokens)


def test_a_damaged_checkpoint_is_skipped_with_the_reason(recipe, gold: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run = pretrain(recipe("stop_after=10"))
    os.truncate(run.checkpoints / "step-10" / "model.safetensors", 100)
    resumed = pretrain(recipe())
    out = capsys.readouterr().out
    assert "skipped step-10: model.safetensors has 100 bytes" in out
    assert "continuing from step-5" in out
    assert_same(resumed, gold)


def test_when_all_checkpoints_are_damaged_nothing_starts_from_scratch(recipe) -> None:
    run = pretrain(recipe("stop_after=5"))
    (run.checkpoints / "step-5" / "manifest.json").unlink()
    with pytest.raises(NoValidCheckpoint, match=r"step-5: manifest.json is missing"):
        pretrain(recipe())


def test_another_recipe_in_the_same_directory_is_refused(recipe) -> None:
    pretrain(recipe("steps=2"))
    with pytest.raises(ConfigError, match=r"seed: 3 -> 4"):
        pretrain(recipe("steps=2", "seed=4"))


def test_a_directory_in_use_is_refused(recipe) -> None:
    with held(Path(recipe().run)), pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"):
        pretrain(recipe())


def test_a_data_set_that_has_changed_is_refused(recipe, tmp_path: Path) -> None:
    root = write_samples(tmp_path / "data", num_samples=10)
    pretrain(recipe("stop_after=2", root=root))
    write_samples(root, num_samples=11)
    with pytest.raises(DataError, match="trained on 10 samples, the data set now has 11"):
        pretrain(recipe(root=root))


def test_a_loss_that_is_not_finite_leaves_weights_and_checkpoints_good(recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer._step

    def poisoned(self: Trainer, number: int, batches: Any, lr: float) -> Any:
        if number == 7:
            with torch.no_grad():
                self.run.model.heads["depth"].proj.bias.fill_(float("nan"))
        return step(self, number, batches, lr)

    monkeypatch.setattr(Trainer, "_step", poisoned)
    with pytest.raises(NonFiniteLoss, match="step 8: the loss of 'depth' is nan"):
        pretrain(recipe())
    assert newest(Path(recipe().run)) == 5


class Listener(Callback):
    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def on_start(self, run: Run) -> None:
        self.heard.append(("start", run.step))

    def on_log(self, run: Run, record: Mapping[str, Any]) -> None:
        self.heard.append(("log", record["step"]))

    def on_checkpoint(self, run: Run, path: Path) -> None:
        assert path.is_dir()
        self.heard.append(("checkpoint", run.step))

    def on_end(self, run: Run) -> None:
        run.model.eval()
        self.heard.append(("end", run.step))


class Broken(Callback):
    def on_log(self, run: Run, record: Mapping[str, Any]) -> None:
        run.model.eval()
        raise RuntimeError("no font")


def test_callbacks_hear_of_every_turn(recipe) -> None:
    listener = Listener()
    run = pretrain(recipe("steps=4", "checkpoint.every=3", "log.every=2"), [listener])
    expected = [("start", 0), ("log", 1), ("log", 2), ("checkpoint", 3), ("log", 4), ("checkpoint", 4), ("end", 4)]
    assert listener.heard == expected
    assert run.model.training


def test_a_callback_that_fails_is_told_and_changes_no_number(
    recipe, gold: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run = pretrain(recipe("stop_after=10"), [Broken()])
    assert "Broken failed, training goes on: RuntimeError: no font" in capsys.readouterr().out
    assert losses(run) == losses(gold)[:3]


@pytest.mark.parametrize("moment", ["between", "within"])
def test_an_interrupted_run_says_where_it_continues_and_does(
    recipe, gold: Run, moment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = Trainer._step

    def interrupted(self: Trainer, number: int, batches: Any, lr: float) -> Any:
        if number == 7:
            self.whole = moment == "between"
            raise KeyboardInterrupt
        return step(self, number, batches, lr)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        with pytest.raises(Interrupted) as caught:
            pretrain(recipe())
    there = {"between": 7, "within": 5}[moment]
    assert f"interrupted at step 7 of 20; the same command continues from checkpoint step-{there}" in str(caught.value)
    run = pretrain(recipe())
    assert f"continuing from step-{there}" in capsys.readouterr().out
    assert_same(run, gold)


def test_bf16_and_clipping_train_and_keep_weights_in_fp32(recipe, gold: Run) -> None:
    run = pretrain(recipe("precision=bf16", "optimizer.clip_norm=1.0", "steps=5"))
    assert {p.dtype for p in run.model.parameters()} == {torch.float32}
    assert losses(run)[0]["loss"] == pytest.approx(losses(gold)[0]["loss"], rel=2e-2)


def test_accumulation_trains_to_the_same_losses(recipe, gold: Run) -> None:
    run = pretrain(recipe("micro_batch=2", "stop_after=10"))
    for part, whole in zip(losses(run), losses(gold)[:3], strict=True):
        assert part == pytest.approx(whole, rel=1e-4)


@pytest.mark.slow
def test_compiled_blocks_train_to_the_same_losses(recipe, gold: Run) -> None:
    run = pretrain(recipe("compile=true", "stop_after=10"))
    for compiled, eager in zip(losses(run), losses(gold)[:3], strict=True):
        assert compiled == pytest.approx(eager, rel=1e-4)
    assert run.model.state_dict().keys() == gold.model.state_dict().keys()
