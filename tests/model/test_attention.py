"""All attention backends give the same numbers, on equal and on unequal lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import all_present, batch, fields, gradients, model, random_plan
from torch import Tensor

from maetoolkit.layers.attention import attend, attention_weights
from maetoolkit.layers.block import build_block
from maetoolkit.layers.ragged import WASTE, filler, grouping
from maetoolkit.tokens import Segments

lengths = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=5)


def one_by_one(q: Tensor, k: Tensor, v: Tensor, queries: Segments, keys: Segments) -> Tensor:
    """The definition: softmax(q k / sqrt(C)) v in double precision, per sample and head; zeros without keys."""
    outs = []
    for a, b, c in zip(q.split(queries.lengths), k.split(keys.lengths), v.split(keys.lengths), strict=True):
        weights = (torch.einsum("thc,shc->hts", a.double(), b.double()) / a.shape[-1] ** 0.5).softmax(-1)
        outs.append(torch.einsum("hts,shc->thc", weights, c.double()))
    return torch.cat(outs).float()


def draw(queries: Segments, keys: Segments, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    nums = (queries.total, keys.total, keys.total)
    return [torch.randn(num, 2, 4, generator=generator, requires_grad=True) for num in nums]


@pytest.mark.parametrize("backend", ["auto", "sdpa", "softmax"])
def test_every_backend_is_softmax_attention_within_samples(backend: str) -> None:
    @settings(max_examples=40, deadline=None, database=None)
    @given(lengths, st.integers(0, 2**16))
    def holds(pairs: list[tuple[int, int]], seed: int) -> None:
        queries, keys = Segments(tuple(q for q, _ in pairs)), Segments(tuple(k for _, k in pairs))
        qkv = draw(queries, keys, seed)
        found, expected = attend(*qkv, queries, keys, backend), one_by_one(*qkv, queries, keys)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        weight = torch.randn(found.shape, generator=torch.Generator().manual_seed(seed + 1))
        gradients = []
        for out in (found, expected):
            connected = torch.stack([(out * weight).sum(), *(0 * x.sum() for x in qkv)])  # empty samples use nothing
            gradients.append(torch.autograd.grad(connected.sum(), qkv))
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)

    holds()


@pytest.mark.parametrize("lengths_", [(3, 3, 3), (1, 4, 2)], ids=["uniform", "ragged"])
def test_weights_sum_to_one_and_reproduce_attend(lengths_: tuple[int, ...]) -> None:
    queries, keys = Segments(lengths_), Segments((2, 5, 3))
    q, k, v = draw(queries, keys, 0)
    weights = attention_weights(q, k, queries, keys)
    mixed = attend(q, k, v, queries, keys)
    for weight, values, expected in zip(weights, v.split(keys.lengths), mixed.split(queries.lengths), strict=True):
        torch.testing.assert_close(weight.sum(-1), torch.ones(weight.shape[:-1]))
        torch.testing.assert_close(torch.einsum("hts,shc->thc", weight, values), expected, rtol=1e-4, atol=1e-6)


def test_a_block_gives_the_weights_of_its_own_attention() -> None:
    block, segments = build_block(8, 2), Segments((3, 5))
    x = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    weights = block.attn.weights(x, segments)
    assert [tuple(w.shape) for w in weights] == [(2, 3, 3), (2, 5, 5)]


@pytest.mark.parametrize("backend", ["xformers", "varlen"])
def test_backends_that_need_a_gpu_are_refused_on_a_cpu_with_a_remedy(backend: str) -> None:
    one = Segments((1,))
    q = torch.zeros(1, 2, 4)
    with pytest.raises(ValueError, match="needs a CUDA device, found cpu; use 'auto' or 'sdpa'"):
        attend(q, q, q, one, one, backend)


@pytest.mark.parametrize("mixed", [False, True], ids=["uniform", "ragged"])
def test_a_model_trains_alike_on_every_backend(mixed: bool) -> None:
    present = {"rgb": [True, False, True], "depth": [True, True, False], "semantic": [True, True, True]}
    given_fields = fields(present) if mixed else all_present(3)
    outcome = {}
    for backend in ("auto", "sdpa", "softmax"):
        built = model(attention=backend)
        output = built(batch(given_fields, plan=random_plan(given_fields)))
        output.loss.backward()
        outcome[backend] = {"loss": output.loss.detach(), **gradients(built)}
    for name, expected in outcome["softmax"].items():
        for backend in ("auto", "sdpa"):
            torch.testing.assert_close(outcome[backend][name], expected, rtol=1e-4, atol=1e-6)


def test_a_model_trained_with_another_devices_backend_can_be_looked_at_here() -> None:
    segments = Segments((3, 3))
    q = torch.randn(6, 2, 4)
    with pytest.raises(ValueError, match="needs a CUDA device"):
        attend(q, q, q, segments, segments, "xformers")
    with torch.no_grad():
        found = attend(q, q, q, segments, segments, "xformers")
    torch.testing.assert_close(found, attend(q, q, q, segments, segments, "sdpa"))


@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_samples_attend_in_groups_of_similar_length_and_every_token_comes_back(lengths: list[tuple[int, int]]) -> None:
    queries, keys = (Segments(tuple(part)) for part in zip(*lengths, strict=True))
    groups, back = grouping(queries, keys)
    assert len(back) == queries.total
    places = np.concatenate([*(group.queries.ravel() for group in groups), [-1]])
    owner = np.repeat(np.arange(len(lengths)), queries.lengths)
    blind = np.array([keys.lengths[i] == 0 for i in range(len(lengths))])
    assert (places[back] == np.where(blind[owner], -1, np.arange(queries.total))).all() if len(back) else True
    for group in groups:
        samples = owner[group.queries[:, 0]]
        for own, segments in ((group.queries, queries), (group.keys, keys)):
            spans = [segments.lengths[i] for i in samples]
            assert own.shape[1] == max(spans) <= WASTE * min(spans)
        assert group.real is None or group.real.sum(1).tolist() == [keys.lengths[i] for i in samples]


def test_the_share_of_filler_is_that_of_the_groups() -> None:
    assert filler([Segments((10, 10, 10))]) == 0
    assert filler([Segments((10, 9)), Segments((5, 5))]) == pytest.approx(1 / 30)
    assert filler([Segments((10, 1))]) == 0
