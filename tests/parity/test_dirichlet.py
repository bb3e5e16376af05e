"""The Dirichlet sampler against 100,000 stored samples of the published one and an independent apportionment."""

from __future__ import annotations

import numpy as np
import pytest
from golden_files import golden, names
from hypothesis import given, settings
from hypothesis import strategies as st

from maetoolkit.masking import Dirichlet, Layout
from maetoolkit.randomness import Draw

FILES = names("dirichlet_*")
NUM = 100_000


def counts(settings_: Dirichlet, num_tokens: list[int], num: int, present: np.ndarray | None = None) -> np.ndarray:
    sampler, found = settings_.build(), []
    entries = [f"m{i}" for i in range(len(num_tokens))]
    for start in range(0, num, 2000):
        size = min(2000, num - start)
        flags = {e: np.ones((size, n), bool) for e, n in zip(entries, num_tokens, strict=True)}
        layout = Layout(flags, dict.fromkeys(entries), tuple(entries), {e: e for e in entries})
        plan = sampler(layout, Draw.of(7, [str(start + i) for i in range(size)]))
        found.append(np.stack([plan.visible[e].numpy().sum(1) for e in entries], axis=1))
    return np.concatenate(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("key", ["alpha0.2", "alpha0.5", "alpha1.0", "alpha10.0", "uniform_tasks.alpha1.0"])
def test_published_rounding_has_the_published_distribution(name: str, key: str) -> None:
    agrees(name, key, NUM)


@pytest.mark.parametrize("name", FILES)
def test_published_rounding_has_the_published_distribution_in_a_small_sample(name: str) -> None:
    agrees(name, "alpha1.0", 10_000)


def agrees(name: str, key: str, num: int) -> None:
    case = golden(name)
    reference = case.tensors[f"{key}.counts"].numpy().astype(int)
    budget = case.config["num_encoded_tokens"]
    masking = Dirichlet(
        num_visible=budget, alpha=float(key.split("alpha")[1]), subsets="uniform" in key, rounding="published"
    )
    ours = counts(masking, case.config["tokens"], num)
    assert (ours.sum(1) == budget).all()
    slack = (NUM / num) ** 0.5
    for field in range(ours.shape[1]):
        a, b = ours[:, field], reference[:, field]
        error = np.sqrt(a.var() / len(a) + b.var() / len(b))
        assert abs(a.mean() - b.mean()) < 5 * error
        assert abs(a.var() / b.var() - 1) < 0.03 * slack
        for number in (0, 1, 2, budget):
            share = (b == number).mean()
            assert (
                abs((a == number).mean() - share) < 5 * np.sqrt(share * (1 - share) * (1 / len(a) + 1 / len(b))) + 1e-4
            )
        edges = np.append(np.unique(np.quantile(b, np.linspace(0, 1, 40))), budget + 1)
        observed, expected = np.histogram(a, edges)[0], np.histogram(b, edges)[0]
        scale = len(a) / len(b)
        chi2 = ((observed - scale * expected) ** 2 / (scale * expected * (1 + scale)).clip(min=1)).sum()
        assert chi2 < len(edges) + 6 * np.sqrt(2 * len(edges)), (field, chi2)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_apportioned_counts_have_the_mean_and_variance_of_the_shares(name: str, alpha: float) -> None:
    config = golden(name).config
    budget, fields = config["num_encoded_tokens"], len(config["tokens"])
    num = 20_000
    ours = counts(Dirichlet(num_visible=budget, alpha=alpha), config["tokens"], num)
    variance = budget**2 * (fields - 1) / (fields**2 * (fields * alpha + 1))
    assert (ours.sum(1) == budget).all()
    assert np.abs(ours.mean(0) - budget / fields).max() < 5 * np.sqrt(variance / num)
    assert np.abs(ours.var(0) / variance - 1).max() < 0.03 * (NUM / num) ** 0.5


def webster(shares: np.ndarray, capacity: np.ndarray, budget: int) -> np.ndarray:
    """Sainte-Lague by hand: seats go one at a time to the largest share / (seats + 1/2) that has room."""
    seats = np.zeros(len(shares), int)
    for _ in range(min(budget, capacity.sum())):
        quotient = np.where(seats < capacity, np.log(np.maximum(shares, 1e-300)) - np.log(seats + 0.5), -np.inf)
        seats[np.argmax(quotient)] += 1
    return seats


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.sampled_from([0.2, 1.0, 5.0]),
    st.booleans(),
    st.integers(0, 2**31),
    st.data(),
)
def test_apportionment_equals_an_independent_one_row_by_row(num_tokens, alpha, subsets, seed, data) -> None:
    budget = data.draw(st.integers(1, sum(num_tokens)))
    entries = tuple(f"m{i}" for i in range(len(num_tokens)))
    num = 5
    rng = np.random.default_rng(seed)
    present = {e: np.repeat(rng.random((num, 1)) < 0.7, n, axis=1) for e, n in zip(entries, num_tokens, strict=True)}
    sampler = Dirichlet(num_visible=budget, alpha=alpha, subsets=subsets).build()
    draw = Draw.of(seed, [str(i) for i in range(num)])
    plan = sampler(Layout(present, dict.fromkeys(entries), entries, {e: e for e in entries}), draw)
    found = np.stack([plan.visible[e].numpy().sum(1) for e in entries], axis=1)
    capacity = np.stack([present[e].sum(1) for e in entries], axis=1)
    for sample in range(num):
        shares = sampler.shares(draw.generator("mask", sample), entries, capacity[sample] > 0)
        assert found[sample].tolist() == webster(shares, capacity[sample], budget).tolist()
        assert all(shares[capacity[sample] == 0] == 0)


def test_every_position_of_a_field_is_seen_equally_often() -> None:
    sampler = Dirichlet(num_visible=8).build()
    layout = Layout({"a": np.ones((4000, 16), bool), "b": np.ones((4000, 16), bool)}, {}, ("a", "b"), {"a": "a"})
    seen = sampler(layout, Draw.of(0, [str(i) for i in range(4000)])).visible["a"].numpy().mean(0)
    assert np.abs(seen - seen.mean()).max() < 5 * np.sqrt(seen.mean() / 4000)
