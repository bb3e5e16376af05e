"""A sample's losses depend on that sample alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import FIELDS, all_present, batch, fields, model, plan_rows, random_plan, rows, sample_losses

from maetoolkit.masking import Dirichlet, MaskPlan
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.tokens import Field

presence = st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=5).map(
    lambda flags: dict(zip(FIELDS, zip(*flags, strict=True), strict=True))
)


@pytest.mark.parametrize("decoder", ["cross", "joint"])
@pytest.mark.parametrize("num_global_tokens", [0, 1, 3])
def test_losses_of_a_mixed_batch_are_those_of_each_sample_alone(decoder: str, num_global_tokens: int) -> None:
    built = model(decoder, num_global_tokens=num_global_tokens)

    @settings(max_examples=12, deadline=None, database=None)
    @given(presence, st.integers(0, 2**16), st.sampled_from([0.0, 0.2, 0.5, 1.0]))
    def holds(present: dict[str, tuple[bool, ...]], seed: int, share: float) -> None:
        given_fields = fields(present, seed)
        plan = random_plan(given_fields, seed, share)
        with torch.no_grad():
            together = sample_losses(built(batch(given_fields, plan=plan)))
            for sample in range(len(present["rgb"])):
                alone = sample_losses(built(batch(rows(given_fields, [sample]), plan=plan_rows(plan, [sample]))))
                for name in together:
                    torch.testing.assert_close(
                        together[name][sample], alone[name][0], rtol=1e-5, atol=1e-6, equal_nan=True
                    )

    holds()


@pytest.mark.parametrize("decoder", ["cross", "joint"])
def test_the_order_of_samples_does_not_matter(decoder: str) -> None:
    built = model(decoder, masking=Dirichlet(num_visible=7, alpha=0.5))
    present = {
        "rgb": [True, False, True, True],
        "depth": [True, True, False, True],
        "semantic": [False, True, True, True],
    }
    given_fields, keys, order = fields(present), ["a", "b", "c", "d"], [2, 0, 3, 1]
    with torch.no_grad():
        straight = built(batch(given_fields, keys))
        turned = built(batch(rows(given_fields, order), [keys[i] for i in order]))
    torch.testing.assert_close(straight.loss, turned.loss, rtol=1e-6, atol=1e-6)
    for name, losses in sample_losses(straight).items():
        torch.testing.assert_close(losses[order], sample_losses(turned)[name], rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("num_samples", [1, 2, 5])
def test_masks_by_hand_are_right_for_every_sample_of_any_batch(num_samples: int) -> None:
    built, given_fields = model(), all_present(num_samples)
    plan = random_plan(given_fields, seed=num_samples)
    output = built(given_fields, plan)
    for name, source in built.modalities.sources.items():
        assert torch.equal(output.route.target[name], plan.target[name].flatten().nonzero()[:, 0])
        assert torch.equal(plan.target[name], ~plan.visible[source])
    for name in FIELDS:
        assert torch.equal(output.route.kept[name], plan.visible[name].flatten().nonzero()[:, 0])
    for sample in range(num_samples):
        changed = {name: Field(f.values.clone(), f.present) for name, f in given_fields.items()}
        changed["rgb"].values[sample] += 1
        found = built(changed, plan)
        for name in ("depth", "semantic"):
            moved = (found.predictions[name] != output.predictions[name]).flatten(1).any(1)
            owners = set(output.route.sample[name][moved].tolist())
            reached = plan.visible["rgb"][sample].any() and plan.target[name][sample].any()
            assert owners == ({sample} if reached else set())


def test_a_mask_by_hand_that_shows_or_scores_what_is_absent_shows_and_scores_what_is_there() -> None:
    built = model()
    given_fields = fields({"rgb": [True, False], "depth": [False, True], "semantic": [True, True]})
    for field in given_fields.values():
        if field.values.is_floating_point():
            field.values[~field.present] = torch.nan
    everything = MaskPlan(
        {name: torch.ones(2, 6, dtype=torch.bool) for name in FIELDS},
        {name: torch.ones(2, 6, dtype=torch.bool) for name in built.modalities.outputs},
    )
    honest = MaskPlan(
        {n: f & given_fields[n].present[:, None] for n, f in everything.visible.items()},
        {n: f & given_fields[built.modalities.source(n)].present[:, None] for n, f in everything.target.items()},
    )
    output, expected = built(given_fields, everything), built(given_fields, honest)
    assert torch.isfinite(output.loss)
    torch.testing.assert_close(output.loss, expected.loss, rtol=1e-6, atol=1e-6)


def test_an_entry_that_is_not_given_is_wholly_absent() -> None:
    built = model()
    given_fields = fields({"rgb": [True, True], "depth": [False, False], "semantic": [True, False]})
    plan = random_plan(given_fields)
    missing = {name: field for name, field in given_fields.items() if name != "depth"}
    with torch.no_grad():
        absent, left_out = built(given_fields, plan), built(missing, plan)
    assert torch.equal(absent.loss, left_out.loss)
    assert float(left_out.losses["depth"]) == 0


def test_small_depth_beside_large_colour_and_an_output_that_is_not_given() -> None:
    entries = ModalitySet(rgb=RGB(size=16, patch=4), depth=RGB(size=8, patch=4, channels=1, role="target"))
    built = model(entries=entries)
    output = built({"rgb": torch.rand(2, 3, 16, 16), "depth": torch.rand(2, 1, 8, 8)})
    assert output.plan.target["depth"].all()
    assert output.plan.target["depth"].shape == (2, 4)
    assert "depth" not in output.plan.visible
    output.loss.backward()


def test_another_size_than_declared_works_by_interpolating_positions() -> None:
    built = model(entries=ModalitySet(rgb=RGB(size=(16, 24), patch=8)))
    output = built({"rgb": torch.rand(2, 3, 32, 16)})
    assert output.plan.visible["rgb"].shape == (2, 8)
    with pytest.raises(ValueError, match="cannot be cut into patches"):
        built({"rgb": torch.rand(2, 3, 30, 16)})


def test_what_is_not_a_batch_is_refused_with_a_reason() -> None:
    built = model()
    with pytest.raises(ValueError, match="one batch size"):
        built({"rgb": torch.rand(2, 3, 16, 24), "depth": torch.rand(3, 1, 8, 12)})
    with pytest.raises(KeyError, match="did you mean 'depth'"):
        built({"deph": torch.rand(2, 1, 8, 12)})
    with pytest.raises(ValueError, match="made from 'rgb'"):
        built({"rgb_std": torch.rand(2, 3, 16, 24)})


def test_names_that_torch_cannot_hold_are_refused_before_it_tries() -> None:
    containers = (torch.nn.ModuleDict(), torch.nn.ParameterDict())
    taken = {name for container in containers for name in dir(container) if not name.startswith("_")}
    for name in (*sorted(taken), "a.b", "", "_modules", "two words"):
        with pytest.raises(ValueError, match="cannot be a name"):
            ModalitySet(**{name: RGB(size=16, patch=8)})
