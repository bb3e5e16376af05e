"""A student learns what a frozen teacher says: at visible tokens, from half of the image, of scenes it never saw."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook

from maetoolkit import load_recipe, pretrain
from maetoolkit.evaluate.reconstruct import batches
from maetoolkit.model.teacher import Teachers

TEACHER = {"type": "timm", "name": "vit_tiny_patch16_224", "pretrained": False}


@pytest.mark.slow
def test_a_frozen_teacher_is_imitated_at_visible_tokens_and_stays_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maetoolkit.train.log._board", lambda directory, start: None)
    settings = {
        "run": str(tmp_path / "run"),
        "steps": 120,
        "batch": 32,
        "modalities": {
            "rgb": {"type": "rgb", "size": 32, "patch": 8, "role": "input"},
            "clip": {"type": "features", "of": "rgb", "score": "visible", "standardize": True, "teacher": TEACHER},
        },
        "masking": {"type": "block", "ratio": 0.5, "min_block": 2},
        "encoder": {"type": "vit", "dim": 96, "depth": 3, "heads": 3},
        "decoder": {"type": "joint", "dim": 96, "depth": 1, "heads": 3},
        "data": {
            "type": "scenes",
            "size": 32,
            "num_train": 256,
            "num_validation": 64,
            "workers": 0,
            "crop_scale": [0.5, 1.0],
        },
        "optimizer": {"lr": 1.6e-2, "warmup_steps": 20},
        "checkpoint": {"every": 1000},
    }
    recipe = load_recipe(settings)
    stepped: set[int] = set()
    watch = register_optimizer_step_post_hook(
        lambda optimizer, *_: stepped.update(id(w) for group in optimizer.param_groups for w in group["params"])
    )
    try:
        run = pretrain(recipe)
    finally:
        watch.remove()
    model = run.model.eval()
    untouched = Teachers(model)
    assert run.teachers.fingerprints() == untouched.fingerprints()

    taught = {id(weight) for weight in run.teachers["clip"].parameters()}
    assert taught
    assert not taught & stepped
    assert stepped == {id(weight) for weight in model.parameters() if weight.requires_grad}

    validation = recipe.data.open(recipe.modality_set, "validation")
    assert validation is not None
    (batch,) = batches(validation, recipe.modality_set, range(64), 64)
    with torch.no_grad():
        batch = untouched(model.planned(batch))
        output = model(batch)
    visible = output.plan.visible["rgb"]
    assert (~visible).sum(1).tolist() == [8] * 64  # half of 16, whatever blocks are drawn
    assert torch.equal(output.plan.target["clip"], visible)

    truth = F.layer_norm(batch.targets["clip"], batch.targets["clip"].shape[-1:])
    constant = F.layer_norm(batch.targets["clip"].mean(0), truth.shape[-1:]).expand_as(truth)
    learned = F.cosine_similarity(output.predictions["clip"], truth[visible], dim=-1).mean()
    assert learned > 0.8
    assert F.cosine_similarity(constant, truth, dim=-1)[visible].mean() < 0.7
