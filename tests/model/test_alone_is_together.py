"""A batch may mix samples of any presence: each is treated as if it were alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch
from small_models import FIELDS, fields, modality_set, model, rows
from torch import Tensor
from words import LENGTH, NUM_WORDS, Words

from maetoolkit.masking import Dirichlet, Share
from maetoolkit.masking.sampler import Masking
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.objective import Reduction, WeightedSum
from maetoolkit.model.outputs import Output
from maetoolkit.randomness import Draw, generator
from maetoolkit.tokens import Batch, Field

NUM_SAMPLES = 3
SAMPLERS: dict[str, Masking] = {
    "dirichlet": Dirichlet(num_visible=7, alpha=0.5),
    "share": Share(ratio=0.6),
    "in place": Share(ratio=0.6, in_place=True),
}
CASES = [(decoder, sampler) for decoder in ("cross", "joint") for sampler in SAMPLERS]


def entries() -> ModalitySet:
    return ModalitySet(**modality_set(), words=Words())


@lru_cache(maxsize=len(CASES))
def built_for(case: int) -> MaskedAutoencoder:
    decoder, sampler = CASES[case % len(CASES)]
    return model(decoder, WeightedSum(reduction="per_sample_all"), SAMPLERS[sampler], case, entries())


def mixture(seed: int) -> dict[str, Field]:
    """Fields of samples that have any of four modalities, and at least one; sentences of any length, words missing."""
    draw = generator("mixture", seed)
    there = draw.random((NUM_SAMPLES, 4)) < 0.5
    there[np.arange(NUM_SAMPLES), draw.integers(4, size=NUM_SAMPLES)] = True
    made = fields({name: there[:, i].tolist() for i, name in enumerate(FIELDS)}, seed)
    lengths = draw.integers(1, LENGTH + 1, NUM_SAMPLES) * there[:, 3]
    made["words"] = Words().collate([draw.integers(NUM_WORDS, size=n) if n else None for n in lengths])
    return made


def batch_of(given: Mapping[str, Field], samples: list[int], seed: int, weight: Tensor | None = None) -> Batch:
    keys = [f"sample {seed} {i}" for i in samples]
    own = None if weight is None else weight[samples]
    return Batch(rows(given, samples), tuple(keys), Draw.of(7, keys), weight=own)


def run(built: MaskedAutoencoder, batch: Batch, **totals: object) -> tuple[Output, dict[str, Tensor]]:
    built.zero_grad()
    output = built(batch, **totals)
    output.loss.backward()
    found = {name: p.grad.clone() for name, p in built.named_parameters() if p.grad is not None}
    return output, found


def close(found: Tensor, expected: Tensor, what: str) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, msg=lambda text: f"{what}: {text}")


@pytest.mark.parametrize("part", [0, 1, *(pytest.param(part, marks=pytest.mark.slow) for part in range(2, 10))])
def test_two_hundred_mixtures_give_every_sample_what_it_gets_alone(part: int) -> None:
    for seed in range(20 * part, 20 * part + 20):
        built, given = built_for(seed % len(CASES)), mixture(seed)
        together, gradient = run(built, batch_of(given, list(range(NUM_SAMPLES)), seed))
        summed: dict[str, Tensor] = {}
        losses = []
        for sample in range(NUM_SAMPLES):
            alone, own = run(built, batch_of(given, [sample], seed))
            losses.append(alone.loss.detach())
            for name, prediction in alone.predictions.items():
                mine = together.predictions[name][together.route.sample[name] == sample]
                close(mine, prediction, f"predictions of {name}, sample {sample} of mixture {seed}")
            for name, value in own.items():
                summed[name] = summed.get(name, torch.zeros_like(value)) + value / NUM_SAMPLES
        close(together.loss, torch.stack(losses).mean(), f"loss of mixture {seed}")
        for name, value in gradient.items():
            close(value, summed.get(name, torch.zeros_like(value)), f"gradient of {name}, mixture {seed}")


@pytest.mark.parametrize("reduction", ["per_sample", "per_sample_all", "pooled"])
@pytest.mark.parametrize("seed", range(4))
def test_weighted_samples_alone_add_up_to_the_mixture_by_the_totals_of_all(reduction: Reduction, seed: int) -> None:
    decoder, sampler = CASES[seed]
    objective = WeightedSum(reduction=reduction, weights={"rgb": 2.0, "words": 0.5})
    built, given = model(decoder, objective, SAMPLERS[sampler], seed, entries()), mixture(3000 + seed)
    weight = torch.from_numpy(generator("weights", seed).uniform(0.2, 3, NUM_SAMPLES).astype(np.float32))
    together, gradient = run(built, batch_of(given, list(range(NUM_SAMPLES)), seed, weight))
    single = [batch_of(given, [sample], seed, weight) for sample in range(NUM_SAMPLES)]
    counts = [built.count(batch) for batch in single]
    totals = {name: torch.stack([count[name] for count in counts]).sum() for name in counts[0]}
    alone = [run(built, batch, totals=totals, share=1 / NUM_SAMPLES) for batch in single]
    close(together.loss, torch.stack([output.loss for output, _ in alone]).sum(), "loss")
    for name, loss in together.losses.items():
        close(loss, torch.stack([output.losses[name] for output, _ in alone]).sum(), f"loss of {name}")
    for name, value in gradient.items():
        own = [found.get(name, torch.zeros_like(value)) for _, found in alone]
        close(value, torch.stack(own).sum(0), f"gradient of {name}")


@pytest.mark.parametrize("seed", range(6))
def test_the_gradient_of_one_sample_of_a_mixture_is_its_gradient_alone(seed: int) -> None:
    built, given = built_for(seed), mixture(1000 + seed)
    whole = batch_of(given, list(range(NUM_SAMPLES)), seed)
    for sample in range(NUM_SAMPLES):
        only = torch.zeros(NUM_SAMPLES).index_fill(0, torch.tensor(sample), float(NUM_SAMPLES))
        _, found = run(built, replace(whole, weight=only))
        _, alone = run(built, batch_of(given, [sample], seed))
        for name, value in found.items():
            close(value, alone.get(name, torch.zeros_like(value)), f"gradient of {name}, sample {sample}")


@pytest.mark.parametrize("seed", range(12))
def test_values_of_absent_entries_change_no_bit(seed: int) -> None:
    built, given = built_for(seed % len(CASES)), mixture(2000 + seed)
    output, gradient = run(built, batch_of(given, list(range(NUM_SAMPLES)), seed))
    for filler in (0, 1e30, torch.nan):
        changed = {}
        for name, field in given.items():
            absent = ~field.present.reshape(*field.present.shape, *[1] * (field.values.ndim - field.present.ndim))
            number = filler if field.values.is_floating_point() else 3
            changed[name] = Field(field.values.masked_fill(absent, number), field.present)
        again, found = run(built, batch_of(changed, list(range(NUM_SAMPLES)), seed))
        assert torch.equal(again.loss, output.loss)
        assert found.keys() == gradient.keys()
        assert all(torch.equal(value, gradient[name]) for name, value in found.items())


def test_a_sample_with_nothing_present_is_refused_by_name() -> None:
    built = model(entries=entries())
    given = mixture(5)
    empty = {
        n: Field(f.values, f.present & torch.tensor([True, False, True]).view(-1, *[1] * (f.present.ndim - 1)))
        for n, f in given.items()
    }
    with pytest.raises(ValueError, match=r"'sample 5 1' has nothing present .*; expected at least one of rgb, depth"):
        built(batch_of(empty, [0, 1, 2], 5))


def test_an_output_with_nothing_to_predict_contributes_nothing() -> None:
    built = model(entries=entries())
    given = mixture(8)
    given["words"] = Words().collate([None] * NUM_SAMPLES)
    output, gradient = run(built, batch_of(given, list(range(NUM_SAMPLES)), 8))
    assert float(output.losses["words"].detach()) == 0
    assert all(value.isfinite().all() for value in gradient.values())
    assert float(gradient["heads.words.weight"].abs().sum()) == 0
