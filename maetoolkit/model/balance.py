"""Objective modules. Axes: T target tokens, B samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from maetoolkit.model.objective import Reduction


@dataclass(frozen=True)
class Score:
    """Losses of one output's target tokens: float32 sum and count per token, and the sample each belongs to.

    weight: what the loss of each sample is multiplied with (None: 1).
    """

    total: Float[Tensor, "T"]
    count: Float[Tensor, "T"]
    sample: Int[Tensor, "T"]
    weight: Float[Tensor, "B"] | None = None


class Objective(nn.Module, ABC):
    """Reduces scores to one loss per output, dividing once, by a divisor that may be that of a larger step."""

    def __init__(self, reduction: Reduction) -> None:
        super().__init__()
        self.reduction = reduction

    def forward(
        self,
        scores: Mapping[str, Score],
        num_samples: int,
        divisors: Mapping[str, Tensor] | None = None,
        share: float = 1.0,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The total and the loss of every output.

        `divisors` are the step's (sums of `divisor` over its micro-batches and ranks); without them, this batch's.
        `share` is the part of the step that this batch is, for terms that do not depend on data.
        """
        losses, present = {}, {}
        for name, score in scores.items():
            own = self.divisor(score.count, score.sample, num_samples)
            divisor = own if divisors is None else divisors[name]
            present[name] = divisor > 0
            losses[name] = self.numerator(score, num_samples) / _positive(divisor)
        return self.combine(losses, present, share), losses

    def divisor(self, count: Float[Tensor, "T"], sample: Int[Tensor, "T"], num_samples: int) -> Float[Tensor, ""]:
        """What the sum of a batch's losses is divided by; known before any prediction is."""
        if self.reduction == "pooled":
            return count.sum()
        if self.reduction == "per_sample_all":
            return count.new_tensor(float(num_samples))
        return (_per_sample(count, sample, num_samples) > 0).sum().float()

    def numerator(self, score: Score, num_samples: int) -> Float[Tensor, ""]:
        """The undivided loss of a batch; finite, and with a finite gradient, where nothing is scored."""
        if self.reduction == "pooled" and score.weight is None:
            return score.total.sum()
        total = _per_sample(score.total, score.sample, num_samples)
        if score.weight is not None:
            total = total * score.weight.to(total.device)
        if self.reduction == "pooled":
            return total.sum()
        return (total / _positive(_per_sample(score.count, score.sample, num_samples))).sum()

    @abstractmethod
    def combine(self, losses: Mapping[str, Tensor], present: Mapping[str, Tensor], share: float) -> Tensor:
        """One number from the losses; `present` tells which outputs had anything to predict."""


class Weighted(Objective):
    """A fixed weight per output."""

    def __init__(self, reduction: Reduction, weights: Mapping[str, float]) -> None:
        super().__init__(reduction)
        self.weights = dict(weights)

    def combine(self, losses: Mapping[str, Tensor], present: Mapping[str, Tensor], share: float) -> Tensor:  # noqa: D102
        return torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()


class Balanced(Objective):
    """Uncertainty weighting with one learned log-variance per output."""

    def __init__(self, reduction: Reduction, outputs: tuple[str, ...]) -> None:
        super().__init__(reduction)
        self.log_variances = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in outputs})

    def combine(self, losses: Mapping[str, Tensor], present: Mapping[str, Tensor], share: float) -> Tensor:  # noqa: D102
        terms = []
        for name, loss in losses.items():
            log_variance = self.log_variances[name]
            term = (-log_variance).exp() * loss + log_variance * share
            terms.append(term.where(present[name], 0.0))
        return torch.stack(terms).sum()


def _per_sample(values: Float[Tensor, "T"], sample: Int[Tensor, "T"], num_samples: int) -> Float[Tensor, "B"]:
    return values.new_zeros(num_samples).index_add(0, sample, values)


def _positive(divisor: Tensor) -> Tensor:
    return divisor.where(divisor > 0, 1.0)
