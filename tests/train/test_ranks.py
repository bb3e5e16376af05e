from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_world import write_samples

from maetoolkit.train.log import read_log
from maetoolkit.train.run import load_run, pretrain

TRAIN = "import sys; from maetoolkit.train.recipe import load_recipe; from maetoolkit.train.run import pretrain; "
TRAIN += "pretrain(load_recipe(sys.argv[1], sys.argv[2:]))"


def launch(recipe: Any, tmp_path: Path, *overrides: str, plugins: str = "") -> subprocess.CompletedProcess[str]:
    """Train a recipe in two processes on this machine, which know the plugins that are named."""
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
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MAETOOLKIT_PLUGINS": plugins}
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
    same_weights(alone.model, model)


def same_weights(alone: torch.nn.Module, other: torch.nn.Module) -> None:
    for (name, one), two in zip(alone.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(
            effective(name, two),
            effective(name, one),
            rtol=1e-5,
            atol=1e-5,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def with_holes(root: Path) -> Path:
    """The tiny world with depth that was not measured everywhere, and for one sample not at all."""
    files = sorted((write_samples(root) / "depth").iterdir())
    for number, file in enumerate(files):
        depth = np.array(Image.open(file))
        depth[:number] = 0
        Image.fromarray(depth).save(file)
    files[0].unlink()
    return root


def everything_at_once(root: Path) -> tuple[str, ...]:
    """Overrides: three sources with other entries, shares and weights, one of them without some; an average of the
    student as a teacher; masks that are learnt."""
    folder = f"type: folder, root: {root}, split: null, validation: null, missing: absent"
    paired = f"paired: {{source: {{{folder}, keep: {{depth: 0.5}}}}, weight: 2.0}}"
    colour = f"colour: {{source: {{{folder}}}, share: 0.5, weight: 0.5, entries: [rgb]}}"
    deep = f"deep: {{source: {{{folder}}}, share: 0.5, entries: [depth]}}"
    return (
        f"data={{type: mix, workers: 0, sources: {{{paired}, {colour}, {deep}}}}}",
        "modalities.own={type: features, of: rgb, score: all, teacher: {type: ema, momentum: 0.9, layers: 2}}",
        "masking={type: hard_patches, start: 0.3, end: 0.9, momentum: 0.5, dim: 24, heads: 2}",
        "objective.weights={rgb: 2.0, own: 0.5}",
    )


@pytest.mark.slow
@pytest.mark.parametrize("reduction", ["per_sample", "pooled"])
def test_two_processes_with_mixed_sources_a_teacher_and_learnt_masks_train_as_one(
    recipe, tmp_path: Path, reduction: str
) -> None:
    pytest.importorskip("maetoolkit_samplers")
    more = (f"objective.reduction={reduction}", "steps=4", "log.every=1", "optimizer.warmup_steps=1")
    overrides = (*everything_at_once(with_holes(tmp_path / "pictures")), *more)
    alone = pretrain(recipe(*overrides, run="one"))  # all 8 samples at once, against four times two
    done = launch(recipe(*overrides, "micro_batch=2", run="two"), tmp_path, plugins="maetoolkit-samplers")
    assert done.returncode == 0, done.stderr
    records, expected = read_log(tmp_path / "two" / "log.jsonl"), read_log(alone.path / "log.jsonl")
    assert [record["step"] for record in records] == [1, 2, 3, 4]
    for record, other in zip(records, expected, strict=True):
        assert record["loss/(masking)"] > 0
        for name in ("loss", "loss/rgb", "loss/depth", "loss/own", "loss/(masking)"):
            assert record[name] == pytest.approx(other[name], rel=1e-5), (record["step"], name)
    _, model = load_run(tmp_path / "two")
    same_weights(alone.model, model)


def effective(name: str, parameter: torch.Tensor) -> torch.Tensor:
    """A parameter without what has no effect, whose gradient is rounding noise, which AdamW scales up to whole steps:
    the bias of the keys, which softmax does not see, and what adds one number to all scores of patches, whose order
    alone counts."""
    if name.startswith("sampler.") and name.endswith((".norm.bias", ".head.bias")):
        return parameter.detach()[:0]
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
