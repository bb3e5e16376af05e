"""Bert: masked, foreign and unchanged tokens, all of which are predicted (Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.ratio import Ratio, RatioMasking, keep_smallest
from maetoolkit.masking.sampler import MaskSampler, complete

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.randomness import Draw
    from maetoolkit.tokens import Patches


class Bert(RatioMasking):
    """Choose `ratio` of the present tokens of every entry: n - floor(n (1 - ratio)) of n; all are predicted.

    Of the chosen ones the share `mask` is replaced by mask tokens, the share `random` shows the content of another
    token of the same sample that was not chosen (a mask token where there is none), and the rest is left as it is.
    """

    type: Literal["bert"] = "bert"
    ratio: Ratio = 0.15
    mask: Ratio = 0.8
    random: Ratio = 0.1
    in_place: Literal[True] = True

    @model_validator(mode="after")
    def _shares(self) -> Bert:
        if self.mask + self.random > 1 + 1e-9:
            raise ValueError(f"random: expected at most 1 - mask = {1 - self.mask:g}, found {self.random:g}")
        return self

    def build(self) -> BertSampler:  # noqa: D102
        return BertSampler(self)


class BertSampler(MaskSampler):
    """Keeps the smallest of one random key per token, and draws what becomes of each of the others."""

    settings: Bert

    def __init__(self, settings: Bert) -> None:
        self.settings = settings

    def __call__(  # noqa: D102
        self,
        layout: Layout,
        draw: Draw,
        progress: float = 0.0,
        patches: Mapping[str, Patches] | None = None,
        scores: Mapping[str, Tensor] | None = None,
    ) -> MaskPlan:
        import torch

        kept, masked, shown = {}, {}, {}
        for name in layout.inputs:
            present = layout.present[name]
            num_shown = self.settings.num_shown(name, present.sum(1))
            kept[name] = keep_smallest(draw.uniform(f"mask {name}", present.shape[1]), present, num_shown)
            masked[name], shown[name] = self._changed(name, present, kept[name], draw)
        plan = complete(layout, kept, self.settings.score)
        visible = {name: torch.from_numpy(layout.present[name] & ~flags) for name, flags in masked.items()}
        in_place = {name: torch.from_numpy(flags) for name, flags in masked.items()}
        return MaskPlan(visible, plan.target, in_place, {n: torch.from_numpy(index) for n, index in shown.items()})

    def _changed(self, name: str, present: np.ndarray, kept: np.ndarray, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
        """What becomes of the tokens not kept: bool (B, N), those masked; int (B, N), whose content each one shows."""
        import numpy as np

        num_tokens, num_kept = present.shape[1], kept.sum(1, keepdims=True)
        how = draw.uniform(f"mask {name} how", num_tokens)
        mask, random = self.settings.mask, self.settings.random
        foreign = present & ~kept & (how >= mask) & (how < mask + random)
        masked = present & ~kept & ((how < mask) | (foreign & (num_kept == 0)))
        kept_first = np.argsort(~kept, axis=1, kind="stable")
        choice = (draw.uniform(f"mask {name} content", num_tokens) * num_kept).astype(np.int64)
        drawn = np.take_along_axis(kept_first, np.minimum(choice, num_tokens - 1), axis=1)
        own = np.broadcast_to(np.arange(num_tokens), present.shape)
        return masked, np.where(foreign & ~masked, drawn, own).astype(np.int64)
