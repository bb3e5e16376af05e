"""Bert: of the chosen tokens 80 % are masked, 10 % show another's content, 10 % are as they were; all are predicted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawing import drawn, hidden_count, layout
from hypothesis import given, settings
from hypothesis import strategies as st

from maetoolkit.masking import Bert
from maetoolkit.testing import check_sampler


def test_the_chosen_tokens_are_treated_in_the_declared_proportions() -> None:
    where = layout({"x": np.ones((400, 100), bool)}, {"x": None})
    plan = drawn(Bert(), where)
    chosen, masked = plan.target["x"], plan.in_place["x"]
    moved = plan.content["x"] != torch.arange(100)
    assert (chosen.sum(1) == 15).all()
    assert not (masked & ~chosen).any()
    assert not (moved & ~chosen).any()
    assert (plan.visible["x"] == ~masked).all()
    total = float(chosen.sum())
    unchanged = chosen & ~masked & ~moved
    assert float(masked.sum()) / total == pytest.approx(0.8, abs=0.02)
    assert float(moved.sum()) / total == pytest.approx(0.1, abs=0.015)
    assert float(unchanged.sum()) / total == pytest.approx(0.1, abs=0.015)


@settings(max_examples=40, deadline=None, database=None)
@given(st.integers(1, 20), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
def test_exact_numbers_and_content_of_tokens_that_were_not_chosen(num, ratio, mask, share, seed) -> None:  # type: ignore[no-untyped-def]
    there = np.random.default_rng(seed).random((5, num)) < 0.7
    there[0] = False
    plan = drawn(Bert(ratio=ratio, mask=mask, random=share * (1 - mask)), layout({"x": there}, {"x": None}))
    present, chosen, shown = torch.from_numpy(there), plan.target["x"], plan.content["x"]
    assert chosen.sum(1).tolist() == [hidden_count(int(n), ratio) for n in there.sum(1)]
    assert (present == (plan.visible["x"] | plan.in_place["x"])).all()
    moved = shown != torch.arange(num)
    context = present & ~chosen
    assert not (moved & ~chosen).any()
    assert not (moved & ~context.gather(1, shown)).any()


def test_where_all_are_chosen_no_content_is_foreign_and_a_lone_token_is_masked_or_left() -> None:
    plan = drawn(Bert(ratio=1, mask=0.5, random=0.5), layout({"x": np.ones((3, 8), bool)}, {"x": None}))
    assert (plan.content["x"] == torch.arange(8)).all()
    assert plan.in_place["x"].all()
    lone = drawn(Bert(), layout({"x": np.ones((50, 1), bool)}, {"x": None}))
    assert lone.target["x"].all()


def test_it_keeps_the_laws_and_refuses_to_drop_tokens() -> None:
    check_sampler(Bert())
    check_sampler(Bert(ratio=0.5, mask=0.3, random=0.6, score="all"))
    with pytest.raises(ValueError, match="in_place"):
        Bert(in_place=False)
    with pytest.raises(ValueError, match=r"random: expected at most 1 - mask = 0.2, found 0.3"):
        Bert(random=0.3)
