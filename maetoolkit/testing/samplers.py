"""The laws of what a mask sampler draws. Axes: B samples, N tokens of a field."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from maetoolkit.masking.plan import MaskPlan
from maetoolkit.masking.sampler import complete
from maetoolkit.modality import Scored
from maetoolkit.testing.law import Inapplicable, law, require
from maetoolkit.testing.sampler_case import SamplerCase


@law(
    "flags",
    why="Sizes of everything that follows are counted from these flags on the host; a loader's workers draw them.",
    see="plan = case.plan()\n"
    "{name: (flags.dtype, flags.shape) for name, flags in plan.visible.items()}, case.layout.inputs",
)
def flags(case: SamplerCase) -> None:
    """A plan has, for every input and every output, bool flags (B, N) on the host, at any progress of the run; where
    it has `in_place` or `content`, they are bool and int64 of the same shape, for inputs alone."""
    layout = case.layout
    inputs, outputs = {name: name for name in layout.inputs}, dict(layout.sources)
    for _, plan in case.plans():
        for what, names, dtype, all_of_them in (
            ("visible", inputs, torch.bool, True),
            ("target", outputs, torch.bool, True),
            ("in_place", inputs, torch.bool, False),
            ("content", inputs, torch.int64, False),
        ):
            found: dict[str, Tensor] = dict(getattr(plan, what))
            named = set(found) == set(names) if all_of_them else set(found) <= set(names)
            require(named, f"`{what}` names {sorted(found)}, expected {sorted(names)}")
            for name, drawn in found.items():
                expected = layout.present[names[name]].shape
                good = drawn.dtype == dtype and drawn.device.type == "cpu" and tuple(drawn.shape) == expected
                looks = f"{drawn.dtype} {tuple(drawn.shape)} on {drawn.device}"
                require(good, f"`{what}` of {name!r} is {looks}, expected {dtype} {expected} on the host")


@law(
    "presence",
    why="Padding would be encoded, or predicted, as if it were data.",
    see="plan, there = case.plan(), case.layout.present\n"
    "{name: (flags.numpy() & ~there[name]).sum() for name, flags in plan.visible.items()}",
)
def present_only(case: SamplerCase) -> None:
    """Nothing that is absent is visible, predicted, masked in place or shown in another's place: the budget is capped
    by what is there, zero for the absent."""
    present = {name: torch.from_numpy(there) for name, there in case.layout.present.items()}
    for _, plan in case.plans():
        for how, drawn, entry in (
            ("visible", plan.visible, {}),
            ("predicted", plan.target, case.layout.sources),
            ("masked in place", plan.in_place, {}),
        ):
            for name, found in drawn.items():
                num = int((found & ~present[entry.get(name, name)]).sum())
                require(num == 0, f"{num} tokens of {name!r} are {how} although they are absent")
        for name, shown in plan.content.items():
            num = int((plan.visible[name] & ~present[name].gather(1, shown)).sum())
            require(num == 0, f"{num} visible tokens of {name!r} show the content of absent ones")


@law(
    "in place",
    why="A token is seen, hidden, or replaced by a mask token; a model without mask tokens cannot place any.",
    see="plan = case.plan()\nplan.in_place, plan.content, case.masking.uses_mask_tokens",
)
def in_place(case: SamplerCase) -> None:
    """No token is both visible and masked in place; plans with `in_place` come from settings whose `uses_mask_tokens`
    is true; `content` names tokens of the same sample, and is the token itself where it is not visible."""
    used = False
    for _, plan in case.plans():
        used = used or bool(plan.in_place or plan.content)
        for name, masked in plan.in_place.items():
            both = int((masked & plan.visible[name]).sum())
            require(both == 0, f"{both} tokens of {name!r} are both visible and masked in place")
            allowed = case.masking.uses_mask_tokens or not bool(masked.any())
            require(allowed, f"mask tokens are placed among those of {name!r}, but `uses_mask_tokens` is false")
        for name, shown in plan.content.items():
            num = shown.shape[1]
            outside = bool(((shown < 0) | (shown >= num)).any())
            require(not outside, f"`content` of {name!r} must name tokens 0 to {num - 1}")
            moved = (shown != torch.arange(num)) & ~plan.visible[name]
            require(not bool(moved.any()), f"`content` of {name!r} changes tokens that are not visible")
    if not used:
        raise Inapplicable("its plans have no tokens in place")


@law(
    "targets",
    why="The settings' `score` is what recipes and reports say was predicted.",
    see="plan = case.plan()\n"
    "complete(case.layout, {n: f.numpy() for n, f in plan.visible.items()}, case.masking.score).target, plan.target",
)
def targets(case: SamplerCase) -> None:
    """With score "masked" the targets are the tokens that are present and hidden, with "all" those that are present;
    an output that is not given has all its present tokens as targets. (Plans with tokens in place may score visible
    ones besides, as BERT does.)"""
    for _, plan in case.plans():
        score = cast("Scored", case.masking.score)
        expected = complete(case.layout, {n: f.numpy() for n, f in plan.visible.items()}, score)
        for name, found in plan.target.items():
            wrong = found != expected.target[name]
            if _denoises(plan, case.layout.sources[name]):
                wrong = wrong & ~found
            num = int(wrong.sum())
            require(num == 0, f"{num} flags of target {name!r} are not those of score {case.masking.score!r}")


def _denoises(plan: MaskPlan, entry: str) -> bool:
    return entry in plan.in_place or entry in plan.content


@law(
    "budget",
    why="The encoder's cost and the difficulty of the task hang on it; shapes that vary cost recompilation.",
    see="plan = case.plan()\n"
    "[sum(int(flags[i].sum()) for flags in plan.visible.values()) for i in range(case.num_samples)]",
)
def budget(case: SamplerCase) -> None:
    """Exactly the promised number of tokens is visible in every sample, capped by what is there."""
    if case.budget is None:
        raise Inapplicable("no budget was given to hold the sampler to")
    layout = case.layout
    for progress, plan in case.plans():
        for sample in range(case.num_samples):
            there = {name: int(layout.present[name][sample].sum()) for name in layout.inputs}
            found = sum(int(drawn[sample].sum()) for drawn in plan.visible.values())
            promised = case.promised(there, progress)
            when = f"at progress {progress}, in a sample with {there} present"
            require(found == promised, f"{found} visible tokens {when}; promised were {promised}")
