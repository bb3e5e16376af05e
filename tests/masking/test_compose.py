"""Samplers made of samplers: each input by itself, some of them, several at once, one at a time, by phase."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from drawing import drawn, layout
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from maetoolkit.masking import (
    Bert,
    Block,
    Conditional,
    Dirichlet,
    Each,
    Masking,
    MaskSampler,
    Phase,
    Restrict,
    Schedule,
    Share,
    Span,
    Union,
)
from maetoolkit.masking.share import ShareSampler
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.testing import check_sampler
from maetoolkit.testing.sequence import Numbers
from maetoolkit.train.recipe import load_recipe

GRIDS = {"a": (4, 4), "b": (4, 4), "c": None}
SIZES = {"a": 16, "b": 16, "c": 9}


def where(num: int = 40, seed: int | None = None, **more):  # type: ignore[no-untyped-def]
    there = {name: np.ones((num, size), bool) for name, size in SIZES.items()}
    if seed is not None:
        rng = np.random.default_rng(seed)
        there = {
            name: flags & (rng.random((num, 1)) < 0.6) & (rng.random(flags.shape) < 0.9)
            for name, flags in there.items()
        }
    return layout(there, GRIDS, **more)


COMPOSED: dict[str, Masking] = {
    "each": Each(samplers={"tall": Block(min_block=2), "wide": Span(length=2)}),
    "each, one of them BERT's": Each(samplers={"tall": Dirichlet(num_visible=4), "wide": Bert(ratio=0.5)}),
    "restrict": Restrict(entries=("tall",), sampler=Share()),
    "restrict, others hidden, in place": Restrict(entries=("tall",), sampler=Block(), others="hidden", in_place=True),
    "union": Union(samplers=(Block(ratio=0.3, min_block=2), Bert(ratio=0.4), Share(ratio=0.2))),
    "union, all scored": Union(samplers=(Share(ratio=0.3), Share(ratio=0.2)), score="all"),
    "conditional": Conditional(sampler=Share()),
    "conditional, with chances": Conditional(sampler=Bert(ratio=0.4), probabilities={"tall": 3, "wide": 1}),
    "schedule": Schedule(
        phases=(Phase(sampler=Share(ratio=0.2), to={"ratio": 0.9}), Phase(start=0.7, sampler=Dirichlet(num_visible=5)))
    ),
    "nested": Schedule(
        phases=(
            Phase(sampler=Conditional(sampler=Each(samplers={"tall": Block(min_block=2), "wide": Bert(ratio=0.4)}))),
        )
    ),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_compositions_keep_the_laws_of_samplers(name: str) -> None:
    check_sampler(COMPOSED[name])


def test_each_input_has_a_sampler_of_its_own_with_randomness_of_its_own() -> None:
    masking = Each(samplers={"a": Share(ratio=0.5), "b": Dirichlet(num_visible=3), "c": Bert()})
    plan = drawn(masking, where(outputs={"a_too": "a"}))
    assert (plan.visible["a"].sum(1) == 8).all()
    assert (plan.visible["b"].sum(1) == 3).all()
    assert (plan.target["a"] == ~plan.visible["a"]).all()
    assert (plan.target["a_too"] == plan.target["a"]).all()
    assert set(plan.in_place) == {"c"}
    assert (plan.target["c"].sum(1) == 2).all()
    twice = drawn(Each(samplers={"a": Dirichlet(num_visible=8), "b": Dirichlet(num_visible=8), "c": Share()}), where())
    assert (twice.visible["a"] != twice.visible["b"]).any()


def test_an_output_that_is_given_to_nobody_is_predicted_whole_and_one_with_a_score_of_its_own_keeps_it() -> None:
    there = {"a": np.ones((5, 16), bool), "out": np.ones((5, 4), bool)}
    plain = layout(
        there,
        {"a": (4, 4)},
        scored={"seen": "visible", "every": "all"},
        outputs={"out": "out", "seen": "a", "every": "a"},
    )
    for masking in (
        Each(samplers={"a": Share()}),
        Restrict(entries=("a",), sampler=Share()),
        Union(samplers=(Share(ratio=0.5), Share(ratio=0.5))),
        Conditional(sampler=Share()),
        Schedule(phases=(Phase(sampler=Share()),)),
    ):
        plan = drawn(masking, plain)
        assert plan.target["out"].all()
        assert (plan.target["seen"] == plan.visible["a"]).all()
        assert plan.target["every"].all()
        assert (plan.target["a"] == ~plan.visible["a"]).all()


def test_the_inputs_outside_a_restriction_are_whole_or_hidden() -> None:
    for others in ("visible", "hidden"):
        plan = drawn(Restrict(entries=("a", "c"), sampler=Dirichlet(num_visible=7), others=others), where())
        assert (plan.visible["a"].sum(1) + plan.visible["c"].sum(1) == 7).all()
        assert list(plan.visible) == ["a", "b", "c"]
        assert (plan.visible["b"] == (others == "visible")).all()
        assert (plan.target["b"] == (others == "hidden")).all()


@settings(max_examples=30, deadline=None, database=None)
@given(st.integers(0, 999), st.booleans())
def test_united_samplers_hide_what_any_of_them_hides(seed: int, scored: bool) -> None:
    place = where(20, seed)
    plan = drawn(
        Union(samplers=(Share(ratio=0.3), Share(ratio=0.3), Bert(ratio=0.3)), score="all" if scored else "masked"),
        place,
    )
    for name, present in place.present.items():
        there, seen, put = torch.from_numpy(present), plan.visible[name], plan.in_place[name]
        shown = plan.content[name]
        assert not (seen & put).any()
        assert not ((seen | put | plan.target[name]) & ~there).any()
        assert not (there & ~seen & ~plan.target[name]).any()
        assert not (seen & ~seen.gather(1, shown)).any()  # no content of what is hidden
        assert (plan.target[name] == there).all() or not scored
        hidden = (there & ~seen).sum(1).numpy()
        assert (hidden >= present.sum(1) - np.floor(present.sum(1) * 0.7 + 1e-9)).all()


def test_equal_samplers_in_a_union_draw_different_tokens() -> None:
    plan = drawn(Union(samplers=(Share(ratio=0.5), Share(ratio=0.5))), where(400))
    assert 1 - plan.visible["a"].float().mean() == pytest.approx(0.75, abs=0.02)


def test_one_of_the_inputs_is_masked_and_the_rest_is_whole() -> None:
    place = where(600, 0)
    plan = drawn(Conditional(sampler=Share(ratio=0.5, count="present"), in_place=True), place)
    masked = {name: (torch.from_numpy(place.present[name]) & ~flags).any(1) for name, flags in plan.visible.items()}
    assert (torch.stack(list(masked.values())).sum(0) <= 1).all()
    full = drawn(Conditional(sampler=Share(ratio=0.5), probabilities={"a": 3.0, "c": 1.0}), where(600))
    often = [float((~full.visible[name]).any(1).float().mean()) for name in GRIDS]
    assert often == pytest.approx([0.75, 0, 0.25], abs=0.06)
    lone = layout({n: f & (n == "b") for n, f in where(9).present.items()}, GRIDS)
    assert (drawn(Conditional(sampler=Share(ratio=0.5)), lone).visible["b"].sum(1) == 8).all()
    untouched = drawn(Conditional(sampler=Share(ratio=0.5), probabilities={"a": 1}), lone)
    assert untouched.visible["b"].all()
    assert not untouched.target["b"].any()


def test_a_schedule_changes_samplers_and_moves_settings_with_the_run() -> None:
    masking = Schedule(
        phases=(
            Phase(sampler=Share(ratio=0.5), to={"ratio": 1.0}),
            Phase(start=0.5, sampler=Dirichlet(num_visible=4), to={"num_visible": 9}),
        )
    )
    shown = {p: drawn(masking, where(3), p).visible for p in (0.0, 0.25, 0.4999, 0.5, 0.7, 1.0, 1.5)}
    assert [int(shown[p]["a"][0].sum()) for p in (0.0, 0.25, 0.4999)] == [8, 4, 0]
    assert [sum(int(f[0].sum()) for f in shown[p].values()) for p in (0.5, 0.7, 1.0, 1.5)] == [4, 6, 9, 9]
    same = drawn(Share(ratio=0.5), where(3)).visible
    assert all((same[name] == shown[0.0][name]).all() for name in same)  # the sampler's own masks


class Feedback(nn.Module, MaskSampler):
    """A sampler with a weight and a count of steps, which looks at the content."""

    needs_content = learns = True
    steps: torch.Tensor

    def __init__(self, settings: Share) -> None:
        super().__init__()
        self.settings, self.inner = settings, ShareSampler(settings)
        self.weight = nn.Parameter(torch.ones(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, layout, draw, progress=0.0, patches=None, scores=None):  # type: ignore[no-untyped-def]
        assert patches is not None
        return self.inner(layout, draw)

    def observe(self, patches, plan, token_loss):  # type: ignore[no-untyped-def]
        return self.weight * 2

    def after_step(self) -> None:
        self.steps.add_(1)


def test_what_a_sampler_learns_is_learnt_inside_others_and_restored_with_them() -> None:
    class Learning(Share):
        def build(self):  # type: ignore[no-untyped-def]
            return Feedback(self)

    inner = Each(samplers={"a": Learning(), "b": Share(), "c": Learning()})
    sampler = Schedule(phases=(Phase(sampler=Restrict(entries=("a", "b", "c"), sampler=inner)),)).build()
    assert isinstance(sampler, nn.Module)
    assert sampler.needs_content
    assert sampler.learns
    assert len(list(sampler.parameters())) == 2
    loss = sampler.observe({}, drawn(inner.replace(samplers={n: Share() for n in "abc"}), where(2)), {})
    assert loss is not None
    assert float(loss.detach()) == 4
    sampler.after_step()
    assert [int(value) for name, value in sampler.state_dict().items() if "steps" in name] == [1, 1]
    with pytest.raises(ValueError, match=r"phases.0.to: the settings of a sampler that learns or has a state cannot"):
        Schedule(phases=(Phase(sampler=Learning(), to={"ratio": 0.9}),)).build()
    plain = Schedule(phases=(Phase(sampler=Share()),)).build()
    assert not plain.needs_content
    assert not plain.learns
    pickle.loads(pickle.dumps(plain))


def test_mask_tokens_are_there_where_any_sampler_needs_them_and_hold_for_all_where_the_composition_says_so() -> None:
    assert not COMPOSED["each"].uses_mask_tokens
    assert COMPOSED["each, one of them BERT's"].uses_mask_tokens
    assert COMPOSED["nested"].uses_mask_tokens
    plan = drawn(Each(samplers={"a": Share(), "b": Share(), "c": Share()}, in_place=True), where())
    assert all((plan.in_place[name] == ~plan.visible[name]).all() for name in GRIDS)


SET = ModalitySet(a=RGB(size=16, patch=4), b=RGB(size=16, patch=4), c=Numbers(length=9))
REFUSED = [
    (Each(samplers={"a": Share(), "b": Share()}), r"samplers: expected a sampler for each input, found none for c"),
    (Each(samplers={"a": Share(), "bb": Share()}), r"samplers.bb: no such input; did you mean 'b'\?"),
    (Each(samplers={"a": Share(), "b": Share(), "c": Block()}), r"samplers.c.type: block needs tokens on a grid"),
    (Restrict(entries=("d",), sampler=Share()), r"entries.d: no such input"),
    (Restrict(entries=("a",), sampler=Dirichlet(num_visible=17)), r"sampler.num_visible: expected at most the 16"),
    (Conditional(sampler=Block()), r"sampler.type: block needs tokens on a grid, and those of 'c'"),
    (Union(samplers=(Share(), Share(ratios={"d": 1}))), r"samplers.1.ratios.d: no such input"),
    (
        Schedule(phases=(Phase(sampler=Dirichlet(num_visible=9), to={"num_visible": 99}),)),
        r"phases.0.to: num_visible: expected at most the 41",
    ),
]


@pytest.mark.parametrize(("masking", "reason"), REFUSED, ids=[reason[:20] for _, reason in REFUSED])
def test_what_cannot_work_is_refused_with_the_place_of_the_sampler(masking: Masking, reason: str) -> None:
    with pytest.raises(ValueError, match="^" + reason):
        masking.check(SET)


def test_settings_that_make_no_schedule_are_refused() -> None:
    with pytest.raises(ValueError, match=r"to.ration: the sampler has no number of that name; it has ratio"):
        Phase(sampler=Share(), to={"ration": 0.5})
    with pytest.raises(ValueError, match=r"to.ratio: found 2.0; Input should be less than or equal to 1"):
        Phase(sampler=Share(), to={"ratio": 2})
    with pytest.raises(ValueError, match=r"phases: expected starts from 0 in rising order, found \[0.5\]"):
        Schedule(phases=(Phase(start=0.5, sampler=Share()),))
    with pytest.raises(ValueError, match="samplers: expected at least one sampler"):
        Union(samplers=())
    with pytest.raises(ValueError, match=r"probabilities.a: expected a number above 0, found 0"):
        Conditional(sampler=Share(), probabilities={"a": 0})


def test_a_recipe_holds_samplers_in_samplers_and_its_errors_and_overrides_reach_them(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "recipe.yaml").write_text(
        """
steps: 3
data: {type: scenes}
modalities: {rgb: {type: rgb, size: 32}, depth: {type: depth, size: 32}}
masking:
  type: each
  samplers:
    rgb: {type: block, min_block: 2}
    depth: {type: schedule, phases: [{sampler: {type: share, ratio: 0.5}, to: {ratio: 0.75}}]}
"""
    )
    recipe = load_recipe(tmp_path / "recipe.yaml", ["masking.samplers.rgb.ratio=0.5"])
    assert dict(recipe.masking.samplers)["rgb"] == Block(min_block=2, ratio=0.5)  # type: ignore[attr-defined]
    (tmp_path / "again.yaml").write_text(recipe.yaml())
    assert load_recipe(tmp_path / "again.yaml") == recipe
    hash(recipe.masking)
    for override, reason in (
        ("masking.samplers.rgb.raio=0.5", "masking.samplers.rgb.raio: unknown key; did you mean ratio"),
        ("masking.samplers.rgb.type=blok", "masking.samplers.rgb.type: unknown sampler 'blok'; did you mean 'block'"),
        ("masking.samplers.depth=null", "masking.samplers: expected a sampler for each input, found none for depth"),
    ):
        with pytest.raises(ValueError, match=reason):
            load_recipe(tmp_path / "recipe.yaml", [override])
