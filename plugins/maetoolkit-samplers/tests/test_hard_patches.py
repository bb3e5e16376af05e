"""Hard patches: the curriculum to the token, what is learnt, and the same masks after a resume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maetoolkit_samplers import HardPatches
from maetoolkit_samplers.hardness import HardPatchSampler, ranking_loss
from torch import Tensor

from maetoolkit.masking import Each, Layout, Phase, Schedule, Share
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import JointDecoder, LinearDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.plugins import registry
from maetoolkit.randomness import Draw, generator
from maetoolkit.testing import check_sampler
from maetoolkit.testing.sequence import Numbers
from maetoolkit.tokens import Batch, Field, Patches
from maetoolkit.train.log import read_log
from maetoolkit.train.loop import Trainer
from maetoolkit.train.recipe import load_recipe
from maetoolkit.train.run import Run, pretrain

SMALL = {"dim": 24, "heads": 2}


@pytest.mark.parametrize(
    "masking",
    [
        HardPatches(**SMALL),
        HardPatches(ratio=0.6, start=0.4, end=1.0, in_place=True, **SMALL),
        Each(samplers={"tall": HardPatches(start=0.5, **SMALL), "wide": Share()}),
        Schedule(phases=(Phase(sampler=Share()), Phase(start=0.3, sampler=HardPatches(start=0.5, **SMALL)))),
    ],
    ids=["alone", "in place", "each", "schedule"],
)
def test_it_keeps_the_laws(masking: Any) -> None:
    check_sampler(masking)


def test_the_hidden_number_is_exact() -> None:
    def budget(there: dict[str, int]) -> int:
        return sum(math.floor(num * 0.4 + 1e-9) for num in there.values())

    check_sampler(HardPatches(ratio=0.6, start=0.3, **SMALL), budget=budget)


ONE = ModalitySet(x=RGB(size=16, patch=2, channels=1), only_in=RGB(size=8, patch=4, channels=1, role="input"))


def built(masking: HardPatches, entries: ModalitySet = ONE) -> HardPatchSampler:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sampler = masking.build_for(entries)
    assert isinstance(sampler, HardPatchSampler)
    return sampler


def some(num: int, seed: int = 0) -> tuple[Layout, dict[str, Patches]]:
    draw = generator("hard patches", seed)
    values = {n: torch.from_numpy(draw.random((num, 1, s, s), np.float32)) for n, s in (("x", 16), ("only_in", 8))}
    fields = {name: Field.of(value) for name, value in values.items()}
    patches = {name: ONE[name].patchify(ONE[name].prepare(field)) for name, field in fields.items()}
    return Layout.of(ONE, fields), patches


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.5, 1.0])
def test_the_share_of_the_hardest_among_the_hidden_rises_from_start_to_end(progress: float) -> None:
    sampler = built(HardPatches(start=0.1, end=0.9, **SMALL))
    layout, patches = some(6)
    plan = sampler(layout, Draw.of(0, [str(i) for i in range(6)]), progress, patches=patches)
    hidden = ~plan.visible["x"]
    assert (hidden.sum(1) == 48).all()
    num_hard = math.floor((0.1 + 0.8 * progress) * 48)
    order = sampler.average("x", patches["x"]).argsort(1, descending=True)
    assert hidden.gather(1, order[:, :num_hard]).all()
    rest = hidden.gather(1, order[:, num_hard:]).float().mean()
    assert float(rest) == pytest.approx((48 - num_hard) / (64 - num_hard), abs=1e-6)
    again = sampler(layout, Draw.of(1, [str(i) for i in range(6)]), progress, patches=patches)
    assert (again.visible["x"] != plan.visible["x"]).any()  # what is not hard is drawn


def test_mixed_precision_does_not_round_the_scores() -> None:
    sampler = built(HardPatches(start=1.0, end=1.0, **SMALL))
    layout, patches = some(4)
    draw = Draw.of(0, [str(i) for i in range(4)])
    plain = sampler(layout, draw, 1.0, patches=patches)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = sampler(layout, draw, 1.0, patches=patches)
    assert torch.equal(plain.visible["x"], mixed.visible["x"])


def test_at_the_start_it_masks_as_share_does_and_needs_no_content() -> None:
    layout, _ = some(4)
    draw = Draw.of(0, [str(i) for i in range(4)])
    sampler = built(HardPatches(**SMALL))
    found, expected = sampler(layout, draw), Share().build()(layout, draw)
    assert all((found.visible[name] == flags).all() for name, flags in expected.visible.items())
    with pytest.raises(ValueError, match="hard_patches looks at the content of a batch"):
        sampler(layout, draw, 0.5)


def test_an_entry_that_is_not_predicted_is_masked_at_random() -> None:
    sampler = built(HardPatches(start=1.0, end=1.0, **SMALL))
    assert list(sampler.predictor.tokenizers) == ["x"]
    layout, patches = some(4)
    plan = sampler(layout, Draw.of(0, [str(i) for i in range(4)]), 1.0, patches=patches)
    assert (plan.visible["only_in"].sum(1) == 1).all()


def test_the_ranking_loss_is_that_of_all_pairs_of_scored_tokens() -> None:
    predicted = torch.tensor([[0.5, -1.0, 2.0, 9.0], [1.0, 1.0, 1.0, 1.0]])
    true = torch.tensor([[1.0, 3.0, 3.0, 99.0], [0.0, 0.0, 0.0, 5.0]])
    scored = torch.tensor([[True, True, True, False], [True, True, False, False]])
    pairs = [(-1.0, 0.5), (2.0, 0.5)]  # larger loss first; equal losses are no pair
    expected = sum(math.log1p(math.exp(-(a - b))) for a, b in pairs) / 2 / 2  # of two samples one has no pair
    assert float(ranking_loss(predicted, true, scored)) == pytest.approx(expected)
    leaf = predicted.clone().requires_grad_()
    nothing = ranking_loss(leaf, true, torch.zeros_like(scored))
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert leaf.grad is not None
    assert (leaf.grad == 0).all()


def test_the_average_follows_the_weights_by_the_closed_form_and_is_not_trained() -> None:
    sampler = built(HardPatches(momentum=0.9, **SMALL))
    first = {n: p.clone() for n, p in sampler.average.named_parameters()}
    assert all(not p.requires_grad for p in sampler.average.parameters())
    with torch.no_grad():
        for parameter in sampler.predictor.parameters():
            parameter.add_(1.0)
    for _ in range(3):
        sampler.after_step()
    for name, value in sampler.average.named_parameters():
        assert torch.allclose(value, first[name] + (1 - 0.9**3), atol=1e-6)


def model(masking: Any, **entries: Any) -> MaskedAutoencoder:
    torch.manual_seed(0)
    found = ModalitySet(**(entries or {"x": RGB(size=16, patch=2, channels=1), "words": Numbers(length=6)}))
    decoder = LinearDecoder() if masking.in_place else JointDecoder(dim=24, depth=1, heads=2)
    return MaskedAutoencoder(found, ViT(dim=24, depth=1, heads=2), decoder, masking)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_pass_trains_the_predictor_by_the_losses_and_leaves_the_model_to_its_own(in_place: bool) -> None:
    net = model(HardPatches(start=0.5, in_place=in_place, **SMALL))
    draw = generator("pass", 0)
    present = torch.from_numpy(draw.random((4, 6)) < 0.7)
    given = {
        "x": Field(torch.from_numpy(draw.random((4, 1, 16, 16), np.float32)), torch.tensor([True, True, False, True])),
        "words": Field(torch.from_numpy(draw.integers(0, 5, (4, 6))), present),
    }
    keys = tuple("abcd")
    output = net(Batch(given, keys, Draw.of(0, keys)), progress=0.5)
    output.loss.backward()
    sampler = net.sampler
    assert isinstance(sampler, HardPatchSampler)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in sampler.predictor.parameters())
    assert all(p.grad is None for p in sampler.average.parameters())
    model_loss = sum(output.losses.values())
    assert float(output.loss.detach()) > float(torch.as_tensor(model_loss).detach())
    gradient = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None and "sampler" not in n}
    other = model(Share(in_place=in_place))
    other.load_state_dict({n: v for n, v in net.state_dict().items() if not n.startswith("sampler.")})
    other(Batch(given, keys, Draw.of(0, keys)), output.plan).loss.backward()
    for name, parameter in other.named_parameters():
        if parameter.grad is not None:
            assert torch.equal(parameter.grad, gradient[name]), name


def recipe(run: Path, *overrides: str) -> Any:
    return load_recipe(
        {
            "run": str(run),
            "seed": 3,
            "steps": 6,
            "batch": 4,
            "modalities": {
                "rgb": {"type": "rgb", "size": 32, "patch": 4},
                "depth": {"type": "depth", "size": 32, "patch": 4},
            },
            "masking": {"type": "hard_patches", "start": 0.2, "end": 0.8, "momentum": 0.5, "dim": 24, "heads": 2},
            "encoder": {"type": "vit", "dim": 32, "depth": 1, "heads": 2},
            "decoder": {"type": "cross", "dim": 32, "depth": 1, "heads": 2},
            "data": {"type": "scenes", "size": 32, "num_train": 12, "workers": 0},
            "optimizer": {"lr": 3e-2, "warmup_steps": 1},
            "log": {"every": 1},
            "checkpoint": {"every": 3},
        },
        list(overrides),
    )


def test_three_steps_and_three_more_are_six_to_the_bit_masks_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maetoolkit.train.log._board", lambda directory, start: None)
    masks: dict[str, list[torch.Tensor]] = {}
    prepared = Trainer._prepared

    def kept(self: Trainer, batch: Batch, progress: float) -> Batch:
        ready = prepared(self, batch, progress)
        assert ready.plan is not None
        masks.setdefault(self.run.path.name, []).extend(ready.plan.visible.values())
        return ready

    monkeypatch.setattr(Trainer, "_prepared", kept)
    whole = pretrain(recipe(tmp_path / "whole"))
    pretrain(recipe(tmp_path / "halves", "stop_after=3"))
    halves = pretrain(recipe(tmp_path / "halves"))
    assert len(masks["whole"]) == len(masks["halves"]) == 12
    assert all(torch.equal(a, b) for a, b in zip(masks["whole"], masks["halves"], strict=True))
    _same(whole, halves)
    record = read_log(whole.path / "log.jsonl")[-1]
    parts = [value for name, value in record.items() if name.startswith("loss/")]
    assert record["loss/(masking)"] > 0
    assert record["loss"] == pytest.approx(sum(parts), rel=1e-5)
    assert any(name.startswith("sampler.average.") for name in whole.model.state_dict())


def _same(one: Run, other: Run) -> None:
    for (name, a), b in zip(one.model.state_dict().items(), other.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    stored = [(run.path / "checkpoints" / "step-6" / "optimizer.safetensors").read_bytes() for run in (one, other)]
    assert stored[0] == stored[1]


def pictures(num: int, seed: int) -> Tensor:
    """(num, 1, 16, 16): smooth ramps, with squares of noise of any strength here and there."""
    draw = generator("pictures", seed)
    slopes, ramp = draw.uniform(-1, 1, (num, 2, 1, 1)), np.linspace(-1, 1, 16)
    smooth = slopes[:, 0] * ramp[:, None] + slopes[:, 1] * ramp
    strength = (draw.random((num, 4, 4)) * (draw.random((num, 4, 4)) < 0.5)).repeat(4, 1).repeat(4, 2)
    return torch.from_numpy((smooth + strength * draw.standard_normal((num, 16, 16)))[:, None]).float()


def batch_of(values: Tensor, first: int) -> Batch:
    keys = tuple(str(first + i) for i in range(len(values)))
    return Batch({"x": Field.of(values)}, keys, Draw.of(0, keys))


def ranking_accuracy(net: MaskedAutoencoder, batch: Batch) -> float:
    """How often, of two predicted tokens of a sample, the one with the larger loss has the larger score."""
    sampler = net.sampler
    assert isinstance(sampler, HardPatchSampler)
    done = net.reconstruct(batch, net.planned(batch).plan)
    with torch.no_grad():
        scores = sampler.average("x", done.patches["x"])
    true, scored = done.token_loss["x"], done.plan.target["x"]
    pairs = (true[:, :, None] > true[:, None]) & scored[:, :, None] & scored[:, None]
    return float(((scores[:, :, None] > scores[:, None]) & pairs).sum() / pairs.sum())


@pytest.mark.slow
def test_it_learns_which_patches_are_hard_on_pictures_that_it_has_not_seen() -> None:
    net = model(HardPatches(momentum=0.95, **SMALL), x=RGB(size=16, patch=2, channels=1, mean=(0.0,), std=(1.0,)))
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    unseen = batch_of(pictures(64, 10**6), 10**6)
    before, num_steps = ranking_accuracy(net, unseen), 150
    for step in range(num_steps):
        net(batch_of(pictures(16, step), 16 * step), progress=step / num_steps).loss.backward()
        optimizer.step()
        net.sampler.after_step()
        optimizer.zero_grad()
    after = ranking_accuracy(net, unseen)
    print(f"ranking accuracy {before:.3f} before, {after:.3f} after")
    assert after > 0.6 > before


def test_it_is_found_by_name_and_refuses_what_cannot_work() -> None:
    assert registry().samplers["hard_patches"] is HardPatches
    with pytest.raises(ValueError, match="heads: 5 does not divide dim 96"):
        HardPatches(heads=5)
    with pytest.raises(ValueError, match=r"use build_for\(modalities\)"):
        HardPatches().build()
