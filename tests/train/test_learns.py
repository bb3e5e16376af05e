"""It learns across modalities: a shortened quickstart, measured as `benchmarks/` measures the whole one."""

from __future__ import annotations

from pathlib import Path

import pytest

from maetoolkit import load_recipe, pretrain
from maetoolkit.evaluate.baselines import compare
from maetoolkit.train.log import read_log


@pytest.mark.slow
def test_depth_from_colour_alone_is_far_better_than_the_mean(tmp_path: Path) -> None:
    recipe = load_recipe("quickstart", [f"run={tmp_path / 'run'}", "steps=400"])
    run = pretrain(recipe)
    validation = recipe.data.open(recipe.modality_set, "validation")
    found = compare(run.model.eval(), validation, recipe.modality_set, run.samples, ["rgb"], "depth", num=100)
    assert found["model"] < 0.6 * found["mean_image"]
    log = read_log(run.path / "log.jsonl")
    assert all(log[-1][key] < log[0][key] for key in log[0] if key.startswith("loss"))
