from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from maetoolkit.train.log import read_log
from maetoolkit.train.run import load_run, pretrain

TRAIN = "import sys; from maetoolkit.train.recipe import load_recipe; from maetoolkit.train.run import pretrain; "
TRAIN += "pretrain(load_recipe(sys.argv[1], sys.argv[2:]))"


def launch(recipe: Any, tmp_path: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """Train a recipe in two processes on this machine."""
    file, script = tmp_path / "two.yaml", tmp_path / "train.py"
    file.write_text(recipe.yaml())
    script.write_text(TRAIN)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    command += [
        "--master-port=0",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=127.0.0.1:0",
        str(script),
        str(file),
        *overrides,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MAETOOLKIT_PLUGINS": ""}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=180)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["weighted", "uncertainty"])
def test_two_processes_train_to_the_end_of_one(recipe, tmp_path: Path, objective: str) -> None:
    overrides = (f"objective.type={objective}", "log.every=1", "micro_batch=2", "masking.alpha=0.5")
    alone = pretrain(recipe(*overrides, run="one"))
    done = launch(recipe(*overrides, run="two"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step 20/20") == 1, "one rank speaks"
    records, expected = read_log(tmp_path / "two" / "log.jsonl"), read_log(alone.path / "log.jsonl")
    assert len(records) == 20
    for record, other in zip(records, expected, strict=True):
        for name in ("loss", "loss/rgb", "loss/depth", "lr"):
            assert record[name] == pytest.approx(other[name], rel=1e-5), (record["step"], name)
    _, model = load_run(tmp_path / "two")
    for (name, one), two in zip(alone.model.named_parameters(), model.parameters(), strict=True):
        message = f"{name} differs by {(effective(name, one) - effective(name, two)).abs().max()}"
        assert torch.allclose(effective(name, one), effective(name, two), rtol=1e-5, atol=1e-5), message


def effective(name: str, parameter: torch.Tensor) -> torch.Tensor:
    """A parameter without the bias of the keys: softmax does not see it, so its gradient is rounding noise, which
    AdamW scales up to whole steps."""
    if name.endswith("qkv.bias"):
        query, _, value = parameter.detach().chunk(3)
        return torch.cat([query, value])
    return parameter.detach().chunk(2)[1] if name.endswith("kv.bias") else parameter.detach()


@pytest.mark.slow
def test_a_run_of_one_process_is_continued_by_two(recipe, tmp_path: Path) -> None:
    alone = pretrain(recipe(run="one"))
    pretrain(recipe("stop_after=10", run="two"))
    done = launch(recipe(run="two"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "continuing from step-10" in done.stdout
    pairs = zip(read_log(tmp_path / "two" / "log.jsonl"), read_log(alone.path / "log.jsonl"), strict=True)
    for record, other in pairs:
        assert record["loss"] == pytest.approx(other["loss"], rel=1e-5)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_all_ranks(recipe, tmp_path: Path) -> None:
    made = recipe("optimizer.lr=1e30", "optimizer.warmup_steps=0", run="two")
    done = launch(made, tmp_path)
    assert done.returncode != 0
    assert "NonFiniteLoss" in done.stderr
    assert not list((tmp_path / "two" / "checkpoints").glob("step-*"))
