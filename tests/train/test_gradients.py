from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from maetoolkit.data.loader import StepLoader
from maetoolkit.train.distributed import Ranks
from maetoolkit.train.forensics import NonFiniteLoss
from maetoolkit.train.gradients import clip_gradients, compute_gradients
from maetoolkit.train.run import build_model, open_samples


def step_of(recipe: Any, model: Any) -> list[Any]:
    loader = StepLoader(
        open_samples(recipe),
        recipe.modality_set,
        recipe.data,
        seed=recipe.seed,
        batch=recipe.batch,
        micro_batch=recipe.micro_batch or recipe.batch,
        sampler=model.sampler,
        router=model.router,
        num_steps=1,
    )
    ((_, batches),) = list(loader)
    return batches


def gradients(recipe: Any) -> tuple[dict[str, float], dict[str, Tensor]]:
    model, ranks = build_model(recipe), Ranks()
    losses = compute_gradients(model, model, step_of(recipe, model), 1, 0.0, ranks)
    return losses.read(ranks), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("objective", ["weighted", "uncertainty"])
@pytest.mark.parametrize("reduction", ["per_sample", "per_sample_all", "pooled"])
def test_accumulation_is_exact(recipe, objective: str, reduction: str) -> None:
    overrides = (f"objective.type={objective}", f"objective.reduction={reduction}", "masking.alpha=0.5")
    whole_losses, whole = gradients(recipe(*overrides))
    for size in (2, 1):
        part_losses, parts = gradients(recipe(*overrides, f"micro_batch={size}"))
        assert part_losses == pytest.approx(whole_losses, rel=1e-6)
        assert whole.keys() == parts.keys()
        for name, gradient in whole.items():
            assert (parts[name] - gradient).norm() <= 1e-6 * gradient.norm() + 1e-9, name


@pytest.mark.parametrize("micro_batch", [8, 2])
def test_a_loss_that_is_not_finite_names_modality_step_and_sample(recipe, micro_batch: int) -> None:
    made = recipe(f"micro_batch={micro_batch}")
    model = build_model(made)
    batches = step_of(made, model)
    batches[-1].fields["depth"].values[-1, ..., 0:4, 0:4] = float("nan")
    batches[-1].fields["rgb"].values[-1] = float("nan") if batches[-1].fields["rgb"].values.is_floating_point() else 0
    with torch.no_grad():
        model.heads["depth"].proj.bias.fill_(float("inf"))
    with pytest.raises(
        NonFiniteLoss, match=r"step 7: the loss of 'depth' is (inf|nan).*samples: .*not taken"
    ) as caught:
        compute_gradients(model, model, batches, 7, 0.0, Ranks())
    assert caught.value.modality == "depth"
    assert set(caught.value.keys) <= {key for batch in batches for key in batch.keys}


def test_only_the_sample_at_fault_is_named(recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe()
    model = build_model(made)
    batches = step_of(made, model)
    depth = model.modalities["depth"]
    score = type(depth).token_loss
    plan = batches[0].plan
    assert plan is not None
    owners = plan.target["depth"].nonzero()[:, 0]

    def spoiled(self: Any, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        total, count = score(self, prediction, target, valid)
        return total.masked_fill(owners == 5, float("nan")), count

    monkeypatch.setattr(type(depth), "token_loss", spoiled)
    with pytest.raises(NonFiniteLoss) as caught:
        compute_gradients(model, model, batches, 1, 0.0, Ranks())
    assert caught.value.keys == (batches[0].keys[5],)


def test_clipping_scales_all_gradients_together(recipe) -> None:
    model = build_model(recipe())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    clip_gradients(model, 0.5, [], 1)
    norms = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None])
    assert float(norms.norm()) == pytest.approx(0.5, rel=1e-5)
    assert len({float(p.grad.flatten()[0]) for p in model.parameters() if p.grad is not None}) == 1


def test_a_gradient_without_a_finite_norm_stops_the_step(recipe) -> None:
    made = recipe()
    model = build_model(made)
    parameter = next(model.parameters())
    parameter.grad = torch.full_like(parameter, float("inf"))
    with pytest.raises(NonFiniteLoss, match="step 3: the norm of the gradient is inf"):
        clip_gradients(model, 1.0, step_of(made, model), 3)
