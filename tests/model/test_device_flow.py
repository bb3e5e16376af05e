"""With plan and route from the loader, a step asks the device for nothing."""

from __future__ import annotations

import pytest
import torch
from small_models import all_present, batch, fields, model, random_plan
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from maetoolkit.model.objective import ObjectiveDescription, Uncertainty, WeightedSum
from maetoolkit.tokens import Batch, map_tensors


def planned(given, built) -> Batch:  # type: ignore[no-untyped-def]
    plan = random_plan(given)
    return Batch(given, batch(given).keys, batch(given).draw, plan, built.router(plan))


@pytest.mark.parametrize("decoder", ["cross", "joint"])
@pytest.mark.parametrize("objective", [WeightedSum(), Uncertainty(reduction="pooled")], ids=["weighted", "uncertainty"])
@pytest.mark.parametrize("mixed", [False, True], ids=["all present", "mixed presence"])
def test_a_step_makes_no_decision_by_values(decoder: str, objective: ObjectiveDescription, mixed: bool) -> None:
    present = {"rgb": [True, False], "depth": [True, True], "semantic": [False, True]}
    given = fields(present) if mixed else all_present(2)
    built = model(decoder, objective, drop_path=0.2)
    ready = planned(given, built)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        fake = map_tensors(ready, mode.from_tensor)
        counts = built.count(fake)
        output = built(fake, totals=counts, share=0.5)  # .item(), nonzero and the like raise in this mode
        output.loss.backward()
    assert output.loss.shape == ()


def test_the_mode_of_that_test_does_catch_a_question_to_the_device() -> None:
    given = all_present(2)
    built = model()
    built.decoder.register_forward_hook(lambda module, inputs, features: features["rgb"].sum().item())
    ready, mode = planned(given, built), FakeTensorMode(allow_non_fake_inputs=True)
    with mode, pytest.raises(DataDependentOutputException):
        built(map_tensors(ready, mode.from_tensor))


def test_the_route_of_the_loader_gives_the_same_bits_as_the_one_made_inside() -> None:
    given = fields({"rgb": [True, False, True], "depth": [True, True, False], "semantic": [False, True, True]})
    built = model()
    ready = planned(given, built)
    with torch.no_grad():
        assert torch.equal(built(ready).loss, built(batch(given, plan=ready.plan)).loss)
