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

    from maetoolkit.modality import ModalitySet
    from maetoolkit.randomness import Draw
    from maetoolkit.tokens import Patches


class Masking(Description, ABC):
    """Settings of a mask sampler.

    `score` says which tokens of a predicted entry are targets: those that are hidden, or all.
    """

    score: Literal["masked", "all"] = "masked"

    def check(self, modalities: ModalitySet) -> None:
        """Raise ValueError where these settings cannot work for `modalities` (a budget above what there is)."""

    @abstractmethod
    def build(self) -> MaskSampler:
        """The sampler; a plain object where it has no state, a torch module where it learns."""


class MaskSampler(ABC):
    """Draws a plan from geometry and presence; samplers that need content or scores are given those too."""

    settings: Masking
    needs_content: bool = False  # True: runs on the device, after the batch has arrived

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

    def observe(self, layout: Layout, plan: MaskPlan, token_loss: Mapping[str, Tensor]) -> Tensor | None:
        """Feedback from the step that used `plan`; a sampler that learns returns a loss of its own."""
        return None


def complete(layout: Layout, visible: Mapping[str, np.ndarray], score: Literal["masked", "all"]) -> MaskPlan:
    """The plan that follows from the visible tokens: hidden ones, or all, of every output are its targets.

    An output that is not given to the encoder has all its present tokens as targets.
    """
    import numpy as np
    import torch

    target = {}
    for name, source in layout.sources.items():
        present = layout.present[source]
        hidden = present & ~visible[source] if source in visible and score == "masked" else present
        target[name] = torch.from_numpy(np.ascontiguousarray(hidden))
    return MaskPlan({n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in visible.items()}, target)


def check_names(key: str, names: Mapping[str, float], modalities: ModalitySet) -> None:
    """Raise ValueError where a setting by name mentions an entry that is not given to the encoder."""
    for name in names:
        if name not in modalities.inputs:
            near = get_close_matches(name, modalities.inputs, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"{key}.{name}: no such input; {hint}inputs are: {', '.join(modalities.inputs)}")
