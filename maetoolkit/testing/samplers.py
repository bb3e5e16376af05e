"""The laws of mask samplers. Axes: B samples, N tokens of a field."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import Masking, complete
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.randomness import Draw, generator
from maetoolkit.testing.law import Inapplicable, law, require
from maetoolkit.testing.roundtrip import description_survives
from maetoolkit.tokens import Field

Budget = Callable[[Mapping[str, int]], int]


def plain_modalities() -> ModalitySet:
    """Two inputs of 16 and 6 tokens, and an output that is not given."""
    tall, wide = RGB(size=(16,), patch=(4,), channels=1), RGB(size=(8, 12), patch=(4,), channels=1)
    return ModalitySet(tall=tall, wide=wide, output=RGB(size=(8,), patch=(4,), channels=1, role="target"))


@dataclass(frozen=True)
class SamplerCase:
    """A mask sampler under test.

    masking: what is tried; modalities: what it masks (two inputs and an output where None);
    budget: the number of visible tokens that must be drawn, from the present tokens of every input, where it is fixed;
    num_samples and seed: size and key of the batch, whose presence is random, by entry or, with `single`, by token.
    """

    masking: Masking
    modalities: ModalitySet | None = None
    budget: Budget | None = None
    num_samples: int = 12
    seed: int = 0
    single: bool = False

    @cached_property
    def entries(self) -> ModalitySet:
        """The modalities."""
        return self.modalities or plain_modalities()

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The samples' keys."""
        return tuple(f"sample {i}" for i in range(self.num_samples))

    @cached_property
    def fields(self) -> dict[str, Field]:
        """Blank fields, of which sample 0 has all and sample 1 none."""
        fields = {}
        for name in self.entries.fields:
            blank = self.entries[name].collate([None] * self.num_samples)
            num_tokens = self.entries[name].layout(None)[1]
            shape = (self.num_samples, num_tokens) if self.single else (self.num_samples,)
            flags = generator("laws", self.seed, "presence", name).random(shape) < 0.6
            flags[0], flags[min(1, self.num_samples - 1)] = True, self.num_samples == 1
            fields[name] = Field(blank.values, torch.as_tensor(flags))
        return fields

    @cached_property
    def layout(self) -> Layout:
        """What the sampler may know of the batch."""
        return Layout.of(self.entries, self.fields)

    def plan(self, samples: list[int] | None = None, progress: float = 0.0) -> MaskPlan:
        """The plan of the given samples (all where None), drawn as one batch by a new sampler."""
        samples = list(range(self.num_samples)) if samples is None else samples
        fields = {n: Field(f.values[samples], f.present[samples]) for n, f in self.fields.items()}
        draw = Draw.of(self.seed, [self.keys[i] for i in samples], [i % 3 for i in samples])
        sampler = self.masking.build()
        patches = None
        if sampler.needs_content:
            patches = {n: self.entries[n].patchify(self.entries[n].prepare(f)) for n, f in fields.items()}
        return sampler(Layout.of(self.entries, fields), draw, progress, patches=patches)


@law("flags")
def flags(case: SamplerCase) -> None:
    """A plan has, for every input and every output, bool flags (B, N) on the host, at any progress of the run."""
    layout = case.layout
    for progress in (0.0, 0.5, 1.0):
        plan = case.plan(progress=progress)
        for what, found, names in (
            ("visible", plan.visible, {name: name for name in layout.inputs}),
            ("target", plan.target, layout.sources),
        ):
            require(set(found) == set(names), f"`{what}` names {sorted(found)}, expected {sorted(names)}")
            for name, source in names.items():
                drawn, expected = found[name], layout.present[source].shape
                good = drawn.dtype == torch.bool and drawn.device.type == "cpu" and tuple(drawn.shape) == expected
                looks = f"{drawn.dtype} {tuple(drawn.shape)} on {drawn.device}"
                require(good, f"`{what}` of {name!r} is {looks}, expected bool {expected} on the host")


@law("presence")
def present_only(case: SamplerCase) -> None:
    """Nothing that is absent is visible or predicted: the budget is capped by what is there, zero for the absent."""
    plan, layout = case.plan(), case.layout
    for name, found in plan.visible.items():
        num = int((found.numpy() & ~layout.present[name]).sum())
        require(num == 0, f"{num} tokens of {name!r} are visible although they are absent")
    for name, found in plan.target.items():
        num = int((found.numpy() & ~layout.present[layout.sources[name]]).sum())
        require(num == 0, f"{num} tokens of {name!r} are predicted although they are absent")


@law("targets")
def targets(case: SamplerCase) -> None:
    """With score "masked" the targets are the tokens that are present and hidden, with "all" those that are present;
    an output that is not given has all its present tokens as targets."""
    plan = case.plan()
    expected = complete(case.layout, {n: f.numpy() for n, f in plan.visible.items()}, case.masking.score)
    for name, found in plan.target.items():
        wrong = int((found != expected.target[name]).sum())
        require(wrong == 0, f"{wrong} flags of target {name!r} are not those of score {case.masking.score!r}")


@law("budget")
def budget(case: SamplerCase) -> None:
    """Exactly the promised number of tokens is visible in every sample, capped by what is there."""
    if case.budget is None:
        raise Inapplicable("no budget was given to hold the sampler to")
    plan, layout = case.plan(), case.layout
    for sample in range(case.num_samples):
        there = {name: int(layout.present[name][sample].sum()) for name in layout.inputs}
        found = sum(int(flags[sample].sum()) for flags in plan.visible.values())
        promised = min(case.budget(there), sum(there.values()))
        require(found == promised, f"{found} visible tokens in a sample with {there} present, promised were {promised}")


@law("keyed")
def keyed(case: SamplerCase) -> None:
    """A sample's plan is a function of its key, epoch and presence alone: the same whatever else is in the batch, in
    whatever order, however often it is drawn; no global random state is read or moved."""
    whole = case.plan()
    order = generator("laws", case.seed, "order").permutation(case.num_samples).tolist()
    states = np.random.get_state(), torch.get_rng_state(), random.getstate()
    for samples in (order, order[: len(order) // 2 + 1], order[:1], list(range(case.num_samples))):
        part = case.plan(samples)
        for what, all_flags, found in _pairs(whole, part):
            require(torch.equal(all_flags[samples], found), f"{what} of the same samples differs in another batch")
    require(torch.equal(states[1], torch.get_rng_state()), "drawing a plan moves torch's global random state")
    require(states[2] == random.getstate(), "drawing a plan moves Python's global random state")
    same = all(np.array_equal(a, b) for a, b in zip(states[0], np.random.get_state(), strict=True))
    require(same, "drawing a plan moves numpy's global random state")


def _pairs(a: MaskPlan, b: MaskPlan) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    visible = [(f"what is visible of {name!r}", a.visible[name], b.visible[name]) for name in a.visible]
    return visible + [(f"the target of {name!r}", a.target[name], b.target[name]) for name in a.target]


@law("round trip")
def masking_round_trip(case: SamplerCase) -> None:
    """The description survives plain values, YAML and a pickle, and so does its sampler, which workers need."""
    description_survives(case.masking)
    case.masking.check(case.entries)
    sampler = case.masking.build()
    if not sampler.needs_content:
        draw = Draw.of(case.seed, case.keys)
        copy = pickle.loads(pickle.dumps(sampler))
        for what, expected, found in _pairs(sampler(case.layout, draw), copy(case.layout, draw)):
            require(torch.equal(expected, found), f"{what} differs after pickling the sampler")
