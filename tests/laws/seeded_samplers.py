"""Mask samplers with one bug each, by the word in `wrong`; "" has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from pydantic import Field as Setting
from torch import Tensor, nn

from maetoolkit.masking import Layout, Masking, MaskPlan, MaskSampler, complete
from maetoolkit.randomness import Draw, generator
from maetoolkit.tokens import Patches


class Halves(Masking):
    """Shows the present tokens whose number drawn by key is below 1/2, in one of many ways that may be wrong."""

    type: Literal["halves"] = "halves"
    wrong: str = ""
    unwritten: int = Setting(0, exclude=True)
    needs_content: bool = False

    @property
    def uses_mask_tokens(self) -> bool:
        return self.in_place and self.wrong != "undeclared"

    def build(self) -> MaskSampler:
        return Learner(self) if self.wrong.startswith("learns") else HalvesSampler(self)


class HalvesSampler(MaskSampler):
    def __init__(self, settings: Halves) -> None:
        self.settings, self.needs_content, self.num_steps = settings, settings.needs_content, 0
        if settings.wrong == "no pickle":
            self.draw = lambda: 0

    def __call__(
        self,
        layout: Layout,
        draw: Draw,
        progress: float = 0.0,
        patches: Mapping[str, Patches] | None = None,
        scores: Mapping[str, Tensor] | None = None,
    ) -> MaskPlan:
        wrong = self.settings.wrong
        if self.needs_content:
            assert patches is not None
            assert all(patches[name].present.shape == layout.present[name].shape for name in layout.inputs)
        visible = {}
        first = 0
        for name in layout.inputs:
            present = layout.present[name]
            numbers = draw.uniform(name, present.shape[1])
            if wrong == "order":
                numbers = np.arange(present.size).reshape(present.shape) % 3 / 3
            elif wrong == "counts steps":
                numbers = draw.uniform(f"{name} {self.num_steps}", present.shape[1])
            elif wrong == "batch size":
                numbers = generator(len(layout), name).random(present.shape)
            elif wrong == "torch":
                numbers = torch.rand(present.shape).numpy()
            elif wrong == "numpy":
                numbers = np.random.random(present.shape)
            elif wrong == "padding":
                numbers = draw.uniform("all", first + present.shape[1])[:, first:]
            elif wrong == "looks at padding" and patches is not None:
                numbers = numbers + (patches[name].values.flatten(1).sum(1, keepdim=True) % 1).numpy()
            first += present.shape[1]
            visible[name] = (numbers < 0.5) & (present | (wrong == "absent"))
            if wrong == "late" and progress > 0.9:
                visible[name][:] = present
        plan = complete(layout, visible, self.settings.score, self.settings.in_place)
        return _spoilt(plan, wrong, layout)

    def after_step(self) -> None:
        self.num_steps += 1


def _spoilt(plan: MaskPlan, wrong: str, layout: Layout) -> MaskPlan:
    name = layout.inputs[0]
    own = torch.arange(plan.visible[name].shape[1]).expand_as(plan.visible[name])
    if wrong == "target":
        return MaskPlan(plan.visible, {name: ~flags for name, flags in plan.target.items()})
    if wrong == "float":
        return MaskPlan({name: flags.float() for name, flags in plan.visible.items()}, plan.target)
    if wrong == "output":
        return MaskPlan(plan.visible, {})
    if wrong == "both":
        return replace(plan, in_place={name: torch.from_numpy(layout.present[name].copy())})
    if wrong == "float content":
        return replace(plan, content={name: own.float()})
    if wrong == "far content":
        return replace(plan, content={name: own + 1})
    if wrong == "absent content":
        present = torch.from_numpy(layout.present[name])
        return replace(plan, content={name: own.where(~plan.visible[name], present.int().argmin(1, keepdim=True))})
    if wrong == "hidden content":
        return replace(plan, content={name: own.where(plan.visible[name], 0)})
    return plan


class Learner(HalvesSampler, nn.Module):
    """A sampler with weights and a state, and one of the ways to keep it wrongly."""

    def __init__(self, settings: Halves) -> None:
        nn.Module.__init__(self)
        HalvesSampler.__init__(self, settings)
        self.weight = nn.Parameter(torch.rand(()))
        self.register_buffer("shift", torch.zeros((), dtype=torch.int64), persistent=settings.wrong != "learns unsaved")
        self.learns = settings.wrong != "learns in silence"
        self.offset = float(torch.rand(())) if settings.wrong == "learns unsaved" else 0.0

    def __call__(self, layout: Layout, draw: Draw, progress: float = 0.0, patches=None, scores=None) -> MaskPlan:  # type: ignore[no-untyped-def]
        visible = {}
        for name in layout.inputs:
            numbers = draw.uniform(f"{name} {int(self.shift)}", layout.present[name].shape[1])
            visible[name] = (numbers < 0.5 + float(self.weight) / 10 + self.offset / 5) & layout.present[name]
        return complete(layout, visible, self.settings.score)

    def observe(
        self, patches: Mapping[str, Patches], plan: MaskPlan, token_loss: Mapping[str, Tensor]
    ) -> Tensor | None:
        if self.settings.wrong == "learns at once":
            self.shift += 1
        if self.settings.wrong == "learns per token":
            return self.weight * next(iter(token_loss.values()))
        return self.weight * sum(loss.mean() for loss in token_loss.values())

    def after_step(self) -> None:
        self.shift += 1


IN_PLACE, SINGLE = {"in_place": True}, {"single": True}
BROKEN: list[tuple[str, str, str, dict[str, bool]]] = [
    ("flags", "float", "torch.float32", {}),
    ("flags", "output", "`target` names []", {}),
    ("flags", "float content", "`content` of 'tall' is torch.float32", {}),
    ("presence", "absent", "visible although they are absent", {}),
    ("presence", "target", "predicted although they are absent", {}),
    ("presence", "absent content", "show the content of absent ones", SINGLE),
    ("in place", "both", "both visible and masked in place", IN_PLACE),
    ("in place", "undeclared", "`uses_mask_tokens` is false", IN_PLACE),
    ("in place", "far content", "must name tokens 0 to 15", {}),
    ("in place", "hidden content", "changes tokens that are not visible", {}),
    ("targets", "target", "are not those of score 'masked'", {}),
    ("budget", "", "promised were", {}),
    ("keyed", "order", "differs in another batch", {}),
    ("keyed", "batch size", "differs in another batch", {}),
    ("keyed", "torch", "moves torch's global random state", {}),
    ("keyed", "numpy", "moves numpy's global random state", {}),
    ("keyed", "looks at padding", "when the values of absent tokens become", {"needs_content": True, **SINGLE}),
    ("padding", "padding", "changes when a ragged input is padded further", {}),
    ("feedback", "learns at once", "`observe` changes shift", {}),
    ("feedback", "learns in silence", "`learns` is false", {}),
    ("feedback", "learns unsaved", "after the state was saved and restored", {}),
    ("feedback", "counts steps", "differs after `after_step`, but workers draw plans with a copy", {}),
    ("feedback", "learns per token", "expected None or a loss without axes", {}),
    ("round trip", "no pickle", "pickle", {}),
]
