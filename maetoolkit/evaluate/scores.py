"""Losses as sums and counts of scored elements, per token, so that means over any samples are right.

Axes: B samples, N tokens of a field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from maetoolkit.modality import ModalitySet
    from maetoolkit.model.outputs import Reconstruction
    from maetoolkit.tokens import Patches


@dataclass(frozen=True)
class Score:
    """A sum of losses and the number of elements (pixels, labels) it is over."""

    sum: float = 0.0
    count: float = 0.0

    @property
    def mean(self) -> float:
        """Loss per element; NaN where there was none."""
        return self.sum / self.count if self.count else math.nan

    def __add__(self, other: Score) -> Score:
        return Score(self.sum + other.sum, self.count + other.count)


NONE = Score()


def targets(modalities: ModalitySet, patches: Patches, name: str) -> tuple[Tensor, Tensor]:
    """What output `name` should predict at every token, (B, N, ...), and which elements count: valid, and present.

    patches: of the entry whose tokens the output predicts.
    """
    values, shape = patches.values, patches.present.shape
    exists = patches.present.view(*shape, *[1] * (values.ndim - 2)).expand_as(values)
    values = values.where(exists, torch.zeros((), dtype=values.dtype, device=values.device))
    flat = modalities[name].target(values.flatten(0, 1))
    target = flat.view(*shape, *flat.shape[1:])
    valid = exists if patches.valid is None else exists & patches.valid
    return target, valid.expand_as(target)


def score(modalities: ModalitySet, done: Reconstruction, name: str, sample: int | None = None) -> Score:
    """The model's score at one output's target tokens, over the batch or for one sample of it."""
    target, valid = targets(modalities, done.patches[modalities.source(name)], name)
    flags = done.plan.target[name].to(target.device)
    counts = modalities[name].token_count(target.flatten(0, 1), valid.flatten(0, 1)).double().view(flags.shape) * flags
    sums = done.token_loss[name].to(target.device).double() * counts
    chosen = slice(None) if sample is None else sample
    return Score(float(sums[chosen].sum()), float(counts[chosen].sum()))


def score_of(modalities: ModalitySet, done: Reconstruction, name: str, prediction: Tensor) -> Score:
    """The score that another prediction, broadcastable to the targets (B, N, ...), gets at the same target tokens."""
    target, valid = targets(modalities, done.patches[modalities.source(name)], name)
    flags = done.plan.target[name].to(target.device)
    spread = prediction.to(target.device, torch.float32).expand_as(target)
    sums, counts = modalities[name].token_loss(spread[flags], target[flags], valid[flags])
    return Score(float(sums.double().sum()), float(counts.double().sum()))
