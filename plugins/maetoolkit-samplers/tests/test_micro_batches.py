"""Hard patches over micro-batches: the masks' own loss is that of the whole batch."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from maetoolkit_samplers.hardness import ranking_loss

from maetoolkit.train.log import read_log
from maetoolkit.train.recipe import load_recipe
from maetoolkit.train.run import pretrain


def test_the_ranking_loss_is_the_mean_over_samples_of_each_ones_pairs() -> None:
    predicted = torch.tensor([[0.5, -1.0, 2.0], [3.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    true = torch.tensor([[1.0, 3.0, 3.0], [0.0, 2.0, 9.0], [4.0, 4.0, 4.0]])
    scored = torch.tensor([[True, True, True], [True, True, False], [True, True, True]])
    first = (math.log1p(math.exp(1.5)) + math.log1p(math.exp(-1.5))) / 2
    second = math.log1p(math.exp(2.0))
    assert float(ranking_loss(predicted, true, scored)) == pytest.approx((first + second) / 3)
    parts = [ranking_loss(predicted[[i]], true[[i]], scored[[i]]) for i in range(3)]
    assert float(torch.stack(parts).mean()) == pytest.approx((first + second) / 3)


def test_micro_batches_log_the_loss_of_the_whole_batch(tmp_path: Path) -> None:
    plain = {
        "seed": 3,
        "steps": 3,
        "batch": 8,
        "modalities": {
            "rgb": {"type": "rgb", "size": 16, "patch": 4},
            "depth": {"type": "depth", "size": 16, "patch": 4},
        },
        "masking": {"type": "hard_patches", "start": 0.2, "end": 0.8, "momentum": 0.5, "dim": 24, "heads": 2},
        "encoder": {"type": "vit", "dim": 32, "depth": 1, "heads": 2},
        "decoder": {"type": "cross", "dim": 32, "depth": 1, "heads": 2},
        "data": {"type": "scenes", "size": 16, "num_train": 24, "workers": 0, "keep": {"depth": 0.4}},
        "optimizer": {"warmup_steps": 1},
        "log": {"every": 1},
    }
    logged = []
    for name, more in (("whole", {}), ("parts", {"micro_batch": 2})):
        pretrain(load_recipe({"run": str(tmp_path / name), **plain, **more}))
        records = read_log(tmp_path / name / "log.jsonl")
        logged.append([record["loss/(masking)"] for record in records if "loss/(masking)" in record])
    assert len(logged[0]) == 3
    assert logged[1] == pytest.approx(logged[0], abs=1e-5)
