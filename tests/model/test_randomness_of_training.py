"""Stochastic depth is keyed per sample; checkpointing changes nothing."""

from __future__ import annotations

import torch
from small_models import all_present, batch, gradients, model, plan_rows, random_plan, rows, sample_losses


def test_drop_path_is_keyed_per_sample_whatever_the_batch() -> None:
    built = model(drop_path=0.5, depth=4).train()
    given, keys = all_present(6), [f"key {i}" for i in range(6)]
    plan = random_plan(given)
    with torch.no_grad():
        whole = sample_losses(built(batch(given, keys, plan)))
        for part in ([0], [3, 1], [5, 4, 2, 0, 1]):
            found = sample_losses(built(batch(rows(given, part), [keys[i] for i in part], plan_rows(plan, part))))
            for name, losses in found.items():
                torch.testing.assert_close(losses, whole[name][part], rtol=1e-5, atol=1e-6)
        others = sample_losses(built(batch(given, [f"other {i}" for i in range(6)], plan)))
    assert not torch.allclose(others["rgb"], whole["rgb"])


def test_drop_path_keeps_each_branch_with_the_probability_of_its_depth() -> None:
    built = model(drop_path=0.6, depth=4).train()
    keys = [f"{i}" for i in range(2000)]
    keep = built.encoder.draw_keep(batch(all_present(1), keys).draw, torch.device("cpu"))
    assert keep.shape == (2000, 4, 2)
    expected = 1 - torch.tensor([0.0, 0.2, 0.4, 0.6])
    torch.testing.assert_close((keep > 0).float().mean((0, 2)), expected, atol=0.04, rtol=0)
    torch.testing.assert_close(keep.amax((0, 2)), 1 / expected)
    torch.testing.assert_close(keep.mean((0, 2)), torch.ones(4), atol=0.1, rtol=0)


def test_drop_path_is_off_in_evaluation() -> None:
    built, given = model(drop_path=0.9), all_present(2)
    plan = random_plan(given)
    without = model()
    without.load_state_dict(built.state_dict())
    with torch.no_grad():
        assert torch.equal(built.eval()(batch(given, plan=plan)).loss, without(batch(given, plan=plan)).loss)


def test_checkpointing_gives_identical_losses_and_gradients() -> None:
    given = all_present(3)
    outcome = {}
    for checkpointing in (False, True):
        built = model(checkpointing=checkpointing, drop_path=0.3).train()
        output = built(batch(given, plan=random_plan(given)))
        output.loss.backward()
        outcome[checkpointing] = {"loss": output.loss.detach(), **gradients(built)}
    assert outcome[False].keys() == outcome[True].keys()
    for name, expected in outcome[False].items():
        assert torch.equal(expected, outcome[True][name]), name


def test_without_a_plan_masks_follow_the_seed_and_a_counter_that_is_saved() -> None:
    given = all_present(2)
    one, two = model(seed=3), model(seed=3)
    first = [one(given).plan.visible["rgb"] for _ in range(3)]
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first[0], two(given).plan.visible["rgb"])
    resumed = model(seed=3)
    two(given)
    resumed.load_state_dict(two.state_dict())
    assert torch.equal(first[2], resumed(given).plan.visible["rgb"])
