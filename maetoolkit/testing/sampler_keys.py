"""The laws of what a mask sampler may depend on, and of its state. Axes: B samples, N tokens of a field."""

from __future__ import annotations

import pickle
from dataclasses import replace

import torch
from torch import Tensor, nn

from maetoolkit.masking.plan import MaskPlan
from maetoolkit.masking.sampler import MaskSampler
from maetoolkit.modality import ModalitySet
from maetoolkit.randomness import generator
from maetoolkit.testing.law import Inapplicable, law, require
from maetoolkit.testing.pure import undisturbed
from maetoolkit.testing.roundtrip import description_survives, weights_survive
from maetoolkit.testing.sampler_case import SamplerCase
from maetoolkit.testing.sequence import Numbers
from maetoolkit.tokens import Field

MIDDLE = 0.4  # of the run: between the milestones of whatever is scheduled
NUM_STEPS = 3  # after which a state that only workers' copies lack has shown itself


@law(
    "keyed",
    why="Masks that change with the batch size, the number of workers or of GPUs make runs impossible to repeat.",
    see="together, alone = case.plan(), case.plan([2])\n"
    "{name: (flags[2:3], alone.visible[name]) for name, flags in together.visible.items()}",
)
def keyed(case: SamplerCase) -> None:
    """A sample's plan is a function of its key, epoch, step, presence and content alone: the same whatever else is in
    the batch, in whatever order, however often it is drawn; no global random state is read or moved."""
    whole = case.plan(progress=MIDDLE)
    order = generator("laws", case.seed, "order").permutation(case.num_samples).tolist()
    for samples in (order, order[: len(order) // 2 + 1], order[:1], list(range(case.num_samples))):
        with undisturbed("drawing a plan"):
            part = case.plan(samples, MIDDLE)
        for what, all_flags, found in _pairs(whole, part):
            require(torch.equal(all_flags[samples], found), f"{what} of the same samples differs in another batch")
    sampler = case.sampler()
    for again in (case.plan(None, MIDDLE, sampler), case.plan(None, MIDDLE, sampler)):
        for what, all_flags, found in _pairs(whole, again):
            require(torch.equal(all_flags, found), f"{what} of the same samples differs when it is drawn again")
    _absent_values_do_not_matter(case, whole)


def _absent_values_do_not_matter(case: SamplerCase, whole: MaskPlan) -> None:
    sampler = case.sampler()
    if not sampler.needs_content:
        return
    for number in (torch.nan, 1e30):
        patches = {}
        for name, one in case.patches.items():
            absent = ~one.present.view(*one.present.shape, *[1] * (one.values.ndim - 2))
            filler = number if one.values.is_floating_point() else 0
            patches[name] = replace(one, values=one.values.masked_fill(absent, filler))
        with torch.no_grad():
            plan = sampler(case.layout, case.draw(), MIDDLE, patches=patches)
        for what, expected, found in _pairs(whole, plan):
            require(torch.equal(expected, found), f"{what} changes when the values of absent tokens become {number}")


def _pairs(a: MaskPlan, b: MaskPlan) -> list[tuple[str, Tensor, Tensor]]:
    pairs = []
    for kind, what in (
        ("visible", "what is visible"),
        ("target", "the target"),
        ("in_place", "what is masked in place"),
    ):
        one, other = getattr(a, kind), getattr(b, kind)
        require(set(one) == set(other), f"`{kind}` names {sorted(one)}, and {sorted(other)} in another batch")
        pairs += [(f"{what} of {name!r}", one[name], other[name]) for name in one]
    require(set(a.content) == set(b.content), "`content` names other inputs in another batch")
    for name, shown in a.content.items():
        pairs.append((f"the content of {name!r}", shown, b.content[name]))
    return pairs


@law(
    "padding",
    why="How long the longest caption of a batch is must not decide which part of a picture is hidden.",
    see="# beside your inputs, `numbers` is padded to 5 tokens and to 9; compare the plans\n"
    "Layout(present, grids, inputs, sources)  # present['numbers'] of shape (B, 5) and (B, 9)",
)
def padding(case: SamplerCase) -> None:
    """A sample's plan does not depend on how far a ragged input is padded."""
    entries = ModalitySet(numbers=Numbers(length=9), **{name: case.entries[name] for name in case.entries})
    ragged = replace(case, modalities=entries)
    try:
        case.masking.check(entries)
    except ValueError as error:
        raise Inapplicable(f"a ragged input is refused: {error}") from None
    lengths = generator("laws", case.seed, "lengths").integers(0, 6, case.num_samples)
    lengths[0] = 5
    plans = []
    for width in (5, 9):
        present = torch.arange(width) < torch.from_numpy(lengths)[:, None]
        values = torch.zeros(case.num_samples, width, dtype=torch.int64)
        fields = {"numbers": Field(values, present), **case.fields}
        layout = ragged.layout.of(entries, fields)
        plans.append(ragged.drawn(layout, fields, case.draw(), MIDDLE))
    for what, narrow, wide in _pairs(*plans):
        kept = wide[:, : narrow.shape[1]]
        same = torch.equal(narrow, kept) and (wide.dtype != torch.bool or not bool(wide[:, narrow.shape[1] :].any()))
        require(same, f"{what} changes when a ragged input is padded further")


@law(
    "feedback",
    why="A step's passes must agree on one plan, and gradient accumulation or a second GPU may not change what is "
    "learnt; only the optimizer's step moves on.",
    see="sampler, plan = case.sampler(), case.plan()\n"
    "sampler.observe(case.patches, plan, case.losses(plan)); sampler.after_step()",
)
def feedback(case: SamplerCase) -> None:
    """`observe` changes nothing and returns None or a finite loss of its own; only `after_step` may change the state,
    and a plan after it survives saving and restoring the state. A sampler that returns a loss has `learns` true; plans
    of one that neither learns nor needs content stay as they are, for workers draw them with copies of it."""
    sampler = case.sampler()
    plan = case.plan(None, MIDDLE, sampler)
    before = _state(sampler)
    own = sampler.observe(case.patches, plan, case.losses(plan))
    require(own is None or own.ndim == 0, f"`observe` returned {own!r}, expected None or a loss without axes")
    if own is not None:
        require(bool(own.detach().isfinite()), f"the loss that `observe` returned is {float(own.detach())}")
        require(sampler.learns, "`observe` returns a loss but `learns` is false, so that nobody would ask for it")
        if own.requires_grad:
            own.backward()
    _same_state(before, _state(sampler), "`observe`")
    for what, expected, found in _pairs(plan, case.plan(None, MIDDLE, sampler)):
        require(torch.equal(expected, found), f"{what} differs after `observe`; only `after_step` may change anything")
    for _ in range(1 if sampler.at_the_model else NUM_STEPS):
        sampler.after_step()
    if not sampler.at_the_model:
        copies = "workers draw plans with a copy that no step reaches; set `learns` or `needs_content`"
        for what, expected, found in _pairs(plan, case.plan(None, MIDDLE, sampler)):
            require(torch.equal(expected, found), f"{what} differs after `after_step`, but {copies}")
    if isinstance(sampler, nn.Module):
        other = replace(case, seed=case.seed + 1).sampler()
        assert isinstance(other, nn.Module)
        weights_survive(sampler, other)
        for what, expected, found in _pairs(case.plan(None, MIDDLE, sampler), case.plan(None, MIDDLE, other)):
            require(torch.equal(expected, found), f"{what} differs after the state was saved and restored")


def _state(sampler: MaskSampler) -> dict[str, Tensor]:
    return {n: v.clone() for n, v in sampler.state_dict().items()} if isinstance(sampler, nn.Module) else {}


def _same_state(before: dict[str, Tensor], after: dict[str, Tensor], what: str) -> None:
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    require(not changed, f"{what} changes {', '.join(changed)}")


@law(
    "round trip",
    why="Workers get the sampler as a pickle, and a resumed run gets it from the recipe.",
    see="plain = case.masking.model_dump(mode='json')\n"
    "type(case.masking).model_validate(plain), pickle.loads(pickle.dumps(case.sampler()))",
)
def masking_round_trip(case: SamplerCase) -> None:
    """The description survives plain values, YAML and a pickle, and so does its sampler, which workers need."""
    description_survives(case.masking)
    case.masking.check(case.entries)
    sampler = case.sampler()
    if not sampler.needs_content:
        copy = pickle.loads(pickle.dumps(sampler))
        for what, expected, found in _pairs(case.plan(None, 0.0, sampler), case.plan(None, 0.0, copy)):
            require(torch.equal(expected, found), f"{what} differs after pickling the sampler")
