from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from maetoolkit.errors import ConfigError
from maetoolkit.train.optimise import (
    build_optimizer,
    learning_rate,
    load_optimizer_state,
    optimizer_state,
    parameter_groups,
    peak_learning_rate,
    set_learning_rate,
)
from maetoolkit.train.run import build_model

PAPER = {"peak": 8e-4, "num_steps": 1000, "warmup_steps": 100, "warmup": 1e-6, "final": 0.0}


def test_learning_rate_scales_with_the_effective_batch() -> None:
    assert peak_learning_rate(1e-4, 2048) == pytest.approx(8e-4, rel=1e-15)
    assert peak_learning_rate(1.5e-4, 4096) == pytest.approx(2.4e-3, rel=1e-15)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1e-6),
        (1, 1e-6 + (8e-4 - 1e-6) / 100),
        (50, (1e-6 + 8e-4) / 2),
        (99, 1e-6 + (8e-4 - 1e-6) * 0.99),
        (100, 8e-4),
        (325, 8e-4 * (1 + math.sqrt(0.5)) / 2),
        (550, 4e-4),
        (775, 8e-4 * (1 - math.sqrt(0.5)) / 2),
        (1000, 0.0),
    ],
)
def test_learning_rate_warms_up_linearly_and_falls_as_a_cosine(step: int, expected: float) -> None:
    assert learning_rate(step, **PAPER) == pytest.approx(expected, rel=1e-12, abs=1e-18)


@given(st.integers(1, 500), st.integers(0, 600), st.floats(1e-6, 1), st.floats(0, 1e-6), st.data())
def test_learning_rate_stays_between_its_ends(
    num_steps: int, warmup_steps: int, peak: float, low: float, data: st.DataObject
) -> None:
    step = data.draw(st.integers(0, num_steps))
    lr = learning_rate(step, peak=peak, num_steps=num_steps, warmup_steps=warmup_steps, warmup=low, final=low)
    assert low * (1 - 1e-12) <= lr <= peak * (1 + 1e-12)


def test_biases_norms_positions_tokens_and_embeddings_are_not_decayed(recipe) -> None:
    labels = "modalities.labels={type: semantic, num_classes: 5, size: 16, patch: 4, stride: 1}"
    model = build_model(recipe("modalities.rgb.position=learned", labels, "objective.type=uncertainty"))
    groups = parameter_groups(model, 0.05)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed = {names[id(p)] for group in groups if group["weight_decay"] == 0.05 for p in group["params"]}
    rest = {names[id(p)] for group in groups if group["weight_decay"] == 0.0 for p in group["params"]}
    assert len(decayed) + len(rest) == len(names)
    assert rest >= {
        "encoder.global_tokens",
        "positions.rgb.table",
        "tokenizers.labels.embedding.weight",
        "decoder.outputs.depth.mask_token",
        "decoder.outputs.depth.embeddings.rgb",
        "decoder.outputs.depth.positions.rgb.table",
        "objective.log_variances.depth",
        "encoder.blocks.0.norm1.weight",
        "encoder.blocks.0.attn.qkv.bias",
        "tokenizers.depth.proj.bias",
    }
    matrices = ("qkv", "q", "kv", "proj", "fc1", "fc2", "project")
    assert decayed == {n for n in names.values() if n.endswith(".weight") and n.split(".")[-2] in matrices}


def test_decay_all_decays_every_parameter(recipe) -> None:
    model = build_model(recipe())
    (group,) = parameter_groups(model, 0.05, decay_all=True)
    assert group["weight_decay"] == 0.05
    assert len(group["params"]) == len(list(model.parameters()))


def test_optimizer_takes_the_step_of_adamw_by_its_formula() -> None:
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    optimizer = build_optimizer(model, lr=1.0, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.05)
    set_learning_rate(optimizer, 1e-2)
    model(torch.ones(4, 3)).square().sum().backward()
    assert model.weight.grad is not None
    gradient = model.weight.grad.clone()
    optimizer.step()
    expected = before * (1 - 1e-2 * 0.05) - 1e-2 * gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(model.weight.detach(), expected, rtol=1e-6, atol=1e-7)


def test_optimizer_state_by_name_continues_the_same_steps() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(6, 8, 3)

    def steps(model: nn.Module, optimizer: torch.optim.Optimizer, begin: int, end: int) -> None:
        for x in inputs[begin:end]:
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

    straight = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 1))
    halted = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 1))
    halted.load_state_dict(straight.state_dict())
    resumed = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 1))
    steps(straight, build_optimizer(straight, lr=1e-2), 0, 6)
    optimizer = build_optimizer(halted, lr=1e-2)
    steps(halted, optimizer, 0, 3)
    resumed.load_state_dict(halted.state_dict())
    continued = build_optimizer(resumed, lr=1e-2)
    load_optimizer_state(resumed, continued, optimizer_state(halted, optimizer))
    steps(resumed, continued, 3, 6)
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_optimizer_state_of_another_model_is_refused() -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="unknown parameters: other"):
        load_optimizer_state(model, build_optimizer(model, lr=1.0), {"other/exp_avg": torch.zeros(2)})


def test_model_without_trainable_parameters_is_refused() -> None:
    with pytest.raises(ConfigError, match="no parameter"):
        build_optimizer(nn.Linear(2, 2).requires_grad_(False), lr=1.0)
