"""Accumulation is exact: micro-batches of a step add up to the step, however it is divided."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import FIELDS, batch, fields, gradients, model, plan_rows, random_plan, rows

from maetoolkit.model.objective import ObjectiveDescription, Uncertainty, WeightedSum

OBJECTIVES = {
    "weighted": lambda reduction: WeightedSum(reduction=reduction, weights={"rgb": 2.0, "rgb_std": 0.5}),
    "uncertainty": lambda reduction: Uncertainty(reduction=reduction),
}


@pytest.mark.parametrize("reduction", ["per_sample", "per_sample_all", "pooled"])
@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize("decoder", ["cross", "joint"])
def test_gradients_of_a_step_are_the_sum_over_its_micro_batches(kind: str, reduction: str, decoder: str) -> None:
    objective: ObjectiveDescription = OBJECTIVES[kind](reduction)
    built = model(decoder, objective)
    for name, parameter in built.named_parameters():
        if "log_variance" in name:
            parameter.data.fill_(0.3)

    @settings(max_examples=8, deadline=None, database=None)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        num = data.draw(st.integers(1, 5))
        present = {name: data.draw(st.lists(st.booleans(), min_size=num, max_size=num)) for name in FIELDS}
        cuts = sorted(data.draw(st.sets(st.integers(1, max(1, num - 1)), max_size=num - 1)))
        seed = data.draw(st.integers(0, 2**16))
        given_fields = fields(present, seed)
        plan = random_plan(given_fields, seed)
        parts = [list(range(a, b)) for a, b in zip([0, *cuts], [*cuts, num], strict=True) if b > a]
        micro = [batch(rows(given_fields, part), plan=plan_rows(plan, part)) for part in parts]

        built.zero_grad()
        whole = built(batch(given_fields, plan=plan))
        whole.loss.backward()
        expected = gradients(built)

        built.zero_grad()
        counts = [built.count(part) for part in micro]
        totals = {name: torch.stack([count[name] for count in counts]).sum() for name in counts[0]}
        losses = dict.fromkeys(totals, 0.0)
        total = 0.0
        for part in micro:
            output = built(part, totals=totals, share=1 / len(micro))
            output.loss.backward()
            total += float(output.loss.detach())
            losses = {name: losses[name] + float(loss.detach()) for name, loss in output.losses.items()}

        assert total == pytest.approx(float(whole.loss.detach()), rel=1e-5, abs=1e-5)
        for name, loss in whole.losses.items():
            assert losses[name] == pytest.approx(float(loss.detach()), rel=1e-5, abs=1e-6)
        found = gradients(built)
        for name in expected.keys() | found.keys():
            zero = torch.zeros_like(dict(built.named_parameters())[name])
            a, b = found.get(name, zero), expected.get(name, zero)
            error, scale = float((a - b).norm()), float(b.norm())  # as tests/parity measures gradients
            assert error <= 1e-5 * scale + 1e-6 * a.numel() ** 0.5, f"{name}: {error} beside {scale}"

    holds()


def test_counts_are_known_before_any_prediction_and_equal_what_forward_divides_by() -> None:
    given_fields = fields({"rgb": [True, True, False], "depth": [True, False, False], "semantic": [True, True, True]})
    plan = random_plan(given_fields)
    built = model(objective=WeightedSum(reduction="pooled"))
    output = built(batch(given_fields, plan=plan))
    for name, count in built.count(batch(given_fields, plan=plan)).items():
        assert float(count) == float(output.scores[name].count.sum())
    per_sample = model(objective=WeightedSum(reduction="per_sample"))
    counts = per_sample.count(batch(given_fields, plan=plan))
    expected = {n: float(plan.target[n].any(1).sum()) for n in ("rgb", "rgb_std", "depth")}
    assert {name: float(counts[name]) for name in expected} == expected


def test_uncertainty_weights_are_saved_and_count_nothing_for_an_output_without_targets() -> None:
    built = model(objective=Uncertainty())
    given_fields = fields({"rgb": [True], "depth": [False], "semantic": [True]})
    built(batch(given_fields, plan=random_plan(given_fields))).loss.backward()
    weights = dict(built.objective.named_parameters())
    grads = {name: float(p.grad) for name, p in weights.items() if p.grad is not None}
    assert grads["log_variances.depth"] == 0
    assert grads["log_variances.rgb"] != 0
    assert {f"objective.{name}" for name in weights} <= set(built.state_dict())
    assert {f"objective.{name}" for name in weights} <= built.no_weight_decay()
