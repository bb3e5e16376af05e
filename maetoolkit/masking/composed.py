"""The samplers of `compose`: plans of several samplers, put together. Axes: B samples, N tokens of a field."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor, nn

from maetoolkit.masking.compose import Composition, Conditional, Each, Restrict, Schedule, Union
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import Masking, MaskSampler, complete
from maetoolkit.modality import ModalitySet
from maetoolkit.randomness import Draw, key
from maetoolkit.tokens import Patches, map_tensors

Ask = Callable[[MaskSampler, Layout, Draw], MaskPlan]
"""Has a sampler plan a part of the batch, with the progress and content that are known; the plan is on the host."""


class ComposedSampler(nn.Module, MaskSampler, ABC):
    """A module, so that the weights of what it is made of are the model's; it needs and learns what they do."""

    settings: Composition

    def __init__(self, settings: Composition, parts: Sequence[MaskSampler]) -> None:
        super().__init__()
        self.settings, self.parts = settings, tuple(parts)
        self.learning = nn.ModuleDict({str(n): part for n, part in enumerate(parts) if isinstance(part, nn.Module)})
        self.needs_content = any(part.needs_content for part in parts)
        self.learns = any(part.learns for part in parts)

    def forward(  # noqa: D102
        self,
        layout: Layout,
        draw: Draw,
        progress: float = 0.0,
        patches: Mapping[str, Patches] | None = None,
        scores: Mapping[str, Tensor] | None = None,
    ) -> MaskPlan:
        def ask(part: MaskSampler, layout: Layout, draw: Draw) -> MaskPlan:
            plan: MaskPlan = map_tensors(part(layout, draw, progress, patches, scores), lambda flags: flags.cpu())
            return plan

        return settled(self.plan(layout, draw, progress, ask), layout, self.settings)

    @abstractmethod
    def plan(self, layout: Layout, draw: Draw, progress: float, ask: Ask) -> MaskPlan:
        """The plan of the inputs, and of the outputs that predict their tokens."""

    def observe(  # noqa: D102
        self, patches: Mapping[str, Patches], plan: MaskPlan, token_loss: Mapping[str, Tensor]
    ) -> Tensor | None:
        found = [part.observe(patches, plan, token_loss) for part in self.parts if part.learns]
        losses = [loss for loss in found if loss is not None]
        return torch.stack(losses).sum() if losses else None

    def after_step(self) -> None:  # noqa: D102
        for part in self.parts:
            part.after_step()


class EachSampler(ComposedSampler):
    """Calls every sampler with its own entry alone."""

    settings: Each

    def plan(self, layout: Layout, draw: Draw, progress: float, ask: Ask) -> MaskPlan:  # noqa: D102
        plan = MaskPlan({}, {})
        for name, part in zip(dict(self.settings.samplers), self.parts, strict=True):
            if name in layout.inputs:
                plan = beside(plan, ask(part, layout.only((name,)), rekeyed(draw, "each", name)))
        return plan


class RestrictSampler(ComposedSampler):
    """Calls the sampler with its entries alone, and shows or hides the others."""

    settings: Restrict

    def plan(self, layout: Layout, draw: Draw, progress: float, ask: Ask) -> MaskPlan:  # noqa: D102
        own = layout.only(self.settings.entries)
        rest = layout.only([name for name in layout.inputs if name not in own.inputs])
        shown = self.settings.others == "visible"
        plan = complete(rest, {name: rest.present[name] & shown for name in rest.inputs}, "masked")
        return beside(plan, ask(self.parts[0], own, draw)) if own.inputs else plan


class UnionSampler(ComposedSampler):
    """Calls every sampler with all of the batch, each with randomness of its own."""

    settings: Union

    def plan(self, layout: Layout, draw: Draw, progress: float, ask: Ask) -> MaskPlan:  # noqa: D102
        plans = [ask(part, layout, rekeyed(draw, "union", number)) for number, part in enumerate(self.parts)]
        return reduce(lambda one, other: united(one, other, layout), plans)


class ConditionalSampler(ComposedSampler):
    """Lets the sampler see nothing of a sample but the one input that it is to mask."""

    settings: Conditional

    def plan(self, layout: Layout, draw: Draw, progress: float, ask: Ask) -> MaskPlan:  # noqa: D102
        chosen = self._chosen(layout, draw)
        one = {name: layout.present[name] & chosen[:, [n]] for n, name in enumerate(layout.inputs)}
        rest = {name: layout.present[name] & ~chosen[:, [n]] for n, name in enumerate(layout.inputs)}
        masked = ask(self.parts[0], replace(layout, present={**layout.present, **one}), draw)
        whole = complete(replace(layout, present={**layout.present, **rest}), rest, "masked")
        visible = {name: flags | whole.visible[name] for name, flags in masked.visible.items()}
        target = {name: flags | whole.target[name] for name, flags in masked.target.items()}
        return replace(masked, visible=visible, target=target)

    def _chosen(self, layout: Layout, draw: Draw) -> np.ndarray:
        """bool (B, inputs): the input that is masked in each sample; none where none of those named is present."""
        named = dict(self.settings.probabilities)
        weights = np.array([named.get(name, 0.0) if named else 1.0 for name in layout.inputs])
        weights = weights * np.stack([layout.present[name].any(1) for name in layout.inputs], axis=1)
        ends = weights.cumsum(1)
        points = draw.uniform("mask which", 1) * ends[:, -1:]
        return (points < ends) & (points >= ends - weights)


class ScheduleSampler(ComposedSampler):
    """Calls the sampler of the phase; where its settings move, one with those of the moment."""

    settings: Schedule

    def __init__(self, settings: Schedule, parts: Sequence[MaskSampler], modalities: ModalitySet | None = None) -> None:
        super().__init__(settings, parts)
        self.modalities = modalities
        for number, (phase, part) in enumerate(zip(settings.phases, parts, strict=True)):
            if phase.to and (part.learns or (isinstance(part, nn.Module) and part.state_dict())):
                raise ValueError(
                    f"phases.{number}.to: the settings of a sampler that learns or has a state cannot move; "
                    "leave `to` out"
                )

    def plan(self, layout: Layout, draw: Draw, progress: float, ask: Ask) -> MaskPlan:  # noqa: D102
        number, share = self.settings.now(progress)
        phase = self.settings.phases[number]
        return ask(self._moved(phase.at(share)) if phase.to else self.parts[number], layout, draw)

    def _moved(self, masking: Masking) -> MaskSampler:
        return masking.build() if self.modalities is None else masking.build_for(self.modalities)


def rekeyed(draw: Draw, *path: int | str) -> Draw:
    """A draw whose streams are independent of those of `draw`, and of those of every other path."""
    return replace(draw, seed=key(draw.seed, *path))


def beside(one: MaskPlan, other: MaskPlan) -> MaskPlan:
    """One plan of two, which are for different inputs."""
    return MaskPlan(
        {**one.visible, **other.visible},
        {**one.target, **other.target},
        {**one.in_place, **other.in_place},
        {**one.content, **other.content},
    )


def united(one: MaskPlan, other: MaskPlan, layout: Layout) -> MaskPlan:
    """One plan of two for the same inputs: hidden is what either hides, predicted what either predicts.

    A token that shows the content of another one that is now hidden is hidden in place itself.
    """
    visible = {name: flags & other.visible[name] for name, flags in one.visible.items()}
    target = {}
    for name, flags in one.target.items():
        both = layout.scored.get(name) == "visible"
        target[name] = flags & other.target[name] if both else flags | other.target[name]
    in_place, content = {}, {}
    for name, flags in visible.items():
        own = torch.arange(flags.shape[1]).expand(flags.shape)
        shown = one.content.get(name, own)
        shown = torch.where(shown == own, other.content.get(name, own), shown)
        lost = flags & ~flags.gather(1, shown)
        visible[name] = flags & ~lost
        masked = lost
        for plan in (one, other):
            masked = masked | plan.in_place[name] if name in plan.in_place else masked
        if name in one.in_place or name in other.in_place:
            in_place[name] = masked & ~visible[name]
        if name in one.content or name in other.content:
            content[name] = torch.where(visible[name], shown, own)
    return MaskPlan(visible, target, in_place, content)


def settled(plan: MaskPlan, layout: Layout, settings: Composition) -> MaskPlan:
    """The plan with what the composition's own settings say of all inputs, and with outputs that are of none."""
    visible = {name: plan.visible[name] for name in layout.inputs}
    found = {name: flags.numpy() for name, flags in visible.items()}
    general = complete(layout, found, settings.score, settings.in_place)
    own = plan.target if settings.score == "masked" else {n: f for n, f in plan.target.items() if n in layout.scored}
    target = {name: own.get(name, flags) for name, flags in general.target.items()}
    return MaskPlan(visible, target, general.in_place if settings.in_place else plan.in_place, plan.content)
