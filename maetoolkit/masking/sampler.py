"""MaskSampler: draws a MaskPlan; Masking: the description that builds one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from maetoolkit.description import Description
from maetoolkit.masking.plan import Layout, MaskPlan

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.modality import ModalitySet, Scored
    from maetoolkit.randomness import Draw
    from maetoolkit.tokens import Patches


class Masking(Description, ABC):
    """Settings of a mask sampler.

    `score` says which tokens of a predicted entry are targets: those that are hidden, or all.
    `in_place` puts mask tokens in the places of hidden ones in the encoder (SimMIM; MultiMAE, table 11) instead of
    dropping them.
    """

    score: Literal["masked", "all"] = "masked"
    in_place: bool = False

    @property
    def uses_mask_tokens(self) -> bool:
        """Whether plans may put mask tokens in the encoder, which then must have them."""
        return self.in_place

    def holds(self, name: str) -> bool:
        """Whether the encoder holds every present token of an input, seen or masked in place, in all plans."""
        return self.in_place

    def check(self, modalities: ModalitySet) -> None:
        """Raise ValueError where these settings cannot work for `modalities` (a budget above what there is)."""

    @abstractmethod
    def build(self) -> MaskSampler:
        """The sampler; a plain object where it has no state, a torch module where it learns."""

    def build_for(self, modalities: ModalitySet) -> MaskSampler:
        """The sampler of a model of these modalities; overridden where its weights depend on what they are."""
        return self.build()


class MaskSampler(ABC):
    """Draws a plan from geometry and presence; samplers that need content or scores are given those too.

    A sampler plans in the loader's workers, which have copies of it, unless `needs_content` or `learns` is true: then
    it plans in the training process, beside the model. One whose state changes in `after_step` must set `learns` (or
    `needs_content`), or the copies would never see the change. Plans may be on the host or on the device; the core
    maps them to the host.
    """

    settings: Masking
    needs_content: bool = False  # True: runs on the device, after the batch has arrived
    learns: bool = False  # True: `observe` is called with the losses of every pass

    @property
    def at_the_model(self) -> bool:
        """Whether plans are drawn beside the model: workers have no content on the device, and only a copy of state."""
        return self.needs_content or self.learns

    @abstractmethod
    def __call__(
        self,
        layout: Layout,
        draw: Draw,
        progress: float = 0.0,
        patches: Mapping[str, Patches] | None = None,
        scores: Mapping[str, Tensor] | None = None,
    ) -> MaskPlan:
        """Plan one batch: `draw` keys the randomness, `progress` in [0, 1] is the share of the run done."""

    def observe(
        self, patches: Mapping[str, Patches], plan: MaskPlan, token_loss: Mapping[str, Tensor]
    ) -> Tensor | None:
        """Feedback from a pass that used `plan`; a sampler that learns returns a loss of its own, but changes nothing.

        token_loss: output -> mean loss of each token, (B, N) without gradient, 0 where `plan.target` is False. The
        tensors of `plan` may be on the host while the losses are on the device.
        The loss must be a mean over the samples of this batch, in which a sample that has nothing to learn from counts
        0: the model multiplies it by the batch's share of the step, and so micro-batches and ranks learn what the
        whole batch would. A mean over all tokens or pairs of the batch would weigh samples by what they are with.
        """
        return None

    def after_step(self) -> None:  # noqa: B027 - optional
        """The optimizer has taken a step; the one place where a sampler may change its own state."""


def complete(layout: Layout, visible: Mapping[str, np.ndarray], score: Scored, in_place: bool = False) -> MaskPlan:
    """The plan that follows from the visible tokens: hidden, visible or all ones of every output are its targets.

    An output that is not given to the encoder has all its present tokens as targets. An output with a `score` of its
    own follows that. With `in_place`, mask tokens stand for what is present and hidden.
    """
    import numpy as np
    import torch

    target = {}
    for name, source in layout.sources.items():
        present = layout.present[source]
        how = layout.scored.get(name, score) if source in visible else "all"
        seen = visible.get(source, present)
        chosen = {"masked": present & ~seen, "visible": present & seen, "all": present}[how]
        target[name] = torch.from_numpy(np.ascontiguousarray(chosen))
    hidden = {name: layout.present[name] & ~flags for name, flags in visible.items()} if in_place else {}
    return MaskPlan(
        {name: torch.from_numpy(np.ascontiguousarray(flags)) for name, flags in visible.items()},
        target,
        {name: torch.from_numpy(np.ascontiguousarray(flags)) for name, flags in hidden.items()},
    )


def check_names(key: str, names: Mapping[str, float], modalities: ModalitySet) -> None:
    """Raise ValueError where a setting by name mentions an entry that is not given to the encoder."""
    for name in names:
        if name not in modalities.inputs:
            near = get_close_matches(name, modalities.inputs, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"{key}.{name}: no such input; {hint}inputs are: {', '.join(modalities.inputs)}")
