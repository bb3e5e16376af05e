"""Every built-in sampler keeps every law."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seeded_samplers import Halves

from maetoolkit.masking import Dirichlet, Masking, Share
from maetoolkit.masking.bert import Bert
from maetoolkit.masking.block import Block
from maetoolkit.masking.compose import Conditional, Each, Restrict, Schedule, Union
from maetoolkit.masking.span import Span
from maetoolkit.masking.tube import Tube
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.plugins import registry
from maetoolkit.testing import SAMPLER_LAWS, Law, SamplerCase, check_sampler
from maetoolkit.testing.law import check
from maetoolkit.testing.sampler_case import Budget


def fixed(num_visible: int) -> Budget:
    return lambda there: min(num_visible, sum(there.values()))


def shares(ratio: Callable[[str], float]) -> Budget:
    def budget(there: Mapping[str, int]) -> int:
        return sum(math.floor(num * (1 - ratio(name)) + 1e-9) for name, num in there.items())

    return budget


def rising(there: Mapping[str, int], progress: float) -> int:
    """Of a share of 0.5 that becomes 0.9 in the course of the run."""
    return sum(math.floor(num * (0.5 - 0.4 * progress) + 1e-9) for num in there.values())


HALF = {"type": "share", "ratio": 0.5}
SAMPLERS: dict[str, tuple[Masking, Budget | None]] = {
    "share 0.75": (Share(), shares(lambda name: 0.75)),
    "share of everything": (Share(ratio=1), shares(lambda name: 1)),
    "share of nothing, all scored": (Share(ratio=0, score="all"), shares(lambda name: 0)),
    "share by name": (Share(ratio=0.5, ratios={"wide": 0.9}), shares({"tall": 0.5, "wide": 0.9}.__getitem__)),
    "share in place": (Share(ratio=0.6, in_place=True), shares(lambda name: 0.6)),
    "share, one mask for a step": (Share(ratio=0.6, per="step"), shares(lambda name: 0.6)),
    "share of all places": (Share(ratio=0.6, per="step", count="all"), None),
    "share of cells": (Share(ratio=0.5, cell=2), None),
    "block": (Block(ratio=0.4, min_block=2), None),
    "tube": (Tube(ratio=0.5), None),
    "span": (Span(ratio=0.5, length=3), None),
    "bert": (Bert(ratio=0.4), None),
    "each": (Each(samplers={"tall": HALF, "wide": {"type": "block", "min_block": 2}}), None),
    "restrict": (Restrict(entries=("wide",), sampler=HALF), None),
    "union": (Union(samplers=(HALF, {"type": "span", "length": 2})), None),
    "conditional": (Conditional(sampler=HALF), None),
    "schedule": (Schedule(phases=({"sampler": HALF, "to": {"ratio": 0.9}},)), rising),
    "dirichlet, all tokens": (Dirichlet(num_visible=22, score="all"), fixed(22)),
}
for alpha in [1e-3, 1.0, "inf", {"tall": 0.5, "wide": 2.0}]:
    for rounding in ("apportion", "published"):
        for subsets in (False, True):
            settings_ = {"num_visible": 9, "alpha": alpha, "rounding": rounding, "subsets": subsets}
            name = ", ".join(f"{key} {value}" for key, value in settings_.items())
            SAMPLERS[f"dirichlet, {name}"] = (Dirichlet(**settings_), fixed(9))


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("single", [False, True], ids=["entries", "tokens"])
def test_every_builtin_sampler_keeps_all_laws(name: str, single: bool) -> None:
    masking, budget = SAMPLERS[name]
    verdicts = check(SAMPLER_LAWS, SamplerCase(masking, budget=budget, single=single))
    skipped = {verdict.law for verdict in verdicts if verdict.held is None}
    assert skipped <= {"in place", "padding"} | ({"budget"} if budget is None else set())
    assert ("in place" in skipped) == (not masking.uses_mask_tokens)


def test_no_builtin_sampler_is_forgotten() -> None:
    offered = next(plugin for plugin in registry().plugins if plugin.name == "builtin").offers["samplers"]
    assert set(offered.values()) <= {type(masking) for masking, _ in SAMPLERS.values()}


@pytest.mark.parametrize("settings_", [{}, {"needs_content": True, "score": "all"}, {"in_place": True}], ids=str)
def test_an_honest_sampler_passes(settings_: dict[str, bool]) -> None:
    skipped = {v.law for v in check_sampler(Halves(**settings_)) if v.held is None}
    assert skipped == {"budget"} | (set() if "in_place" in settings_ else {"in place"})


def test_an_honest_sampler_that_learns_passes() -> None:
    check_sampler(Halves(wrong="learns"))


@pytest.mark.parametrize("law", SAMPLER_LAWS, ids=str)
def test_laws_hold_for_any_number_and_size_of_inputs(law: Law[SamplerCase]) -> None:
    @settings(max_examples=8, deadline=None, database=None)
    @given(
        st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4),
        st.integers(1, 9),
        st.integers(0, 2**16),
        st.booleans(),
        st.data(),
    )
    def holds(grids: list[tuple[int, int]], num: int, seed: int, single: bool, data: st.DataObject) -> None:
        entries = {f"input{i}": RGB(size=(2 * h, 2 * w), patch=2, channels=1) for i, (h, w) in enumerate(grids)}
        num_visible = data.draw(st.integers(1, sum(h * w for h, w in grids)))
        masking: Masking
        if data.draw(st.booleans()):
            alpha = data.draw(st.sampled_from([0.05, 1.0, "inf"]))
            rounding, subsets = data.draw(st.sampled_from(["apportion", "published"])), data.draw(st.booleans())
            masking = Dirichlet(num_visible=num_visible, alpha=alpha, rounding=rounding, subsets=subsets)
            budget = fixed(num_visible)
        else:
            ratio = data.draw(st.floats(0, 1))
            masking, budget = Share(ratio=ratio), shares(lambda name: ratio)
        law(SamplerCase(masking, ModalitySet(**entries), budget, num, seed, single))

    holds()
