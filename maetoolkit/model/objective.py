"""Objectives: how token losses become one number; their descriptions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from maetoolkit.description import Description, NumberByName

if TYPE_CHECKING:
    from maetoolkit.modality import ModalitySet
    from maetoolkit.model.balance import Objective

Reduction = Literal["per_sample", "per_sample_all", "pooled"]


class ObjectiveDescription(Description, ABC):
    """Settings of an objective.

    `reduction`: mean per sample, then over the samples with something to predict (MultiMAE); the same over all
    samples, empty ones counting 0 (M3AE's text); or all scored elements of the batch pooled (MAE).
    """

    reduction: Reduction = "per_sample"

    def check(self, modalities: ModalitySet) -> None:
        """Raise ValueError where these settings name an output that is not there."""

    @abstractmethod
    def build(self, outputs: tuple[str, ...]) -> Objective:
        """The module that joins the losses of `outputs`."""


class WeightedSum(ObjectiveDescription):
    """The sum of all outputs' losses, each times its weight (1 unless named in `weights`)."""

    type: Literal["weighted"] = "weighted"
    weights: NumberByName = ()

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        for name in dict(self.weights):
            if name not in modalities.outputs:
                near = get_close_matches(name, modalities.outputs, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise ValueError(f"weights.{name}: no such output; {hint}outputs are: {', '.join(modalities.outputs)}")

    def build(self, outputs: tuple[str, ...]) -> Objective:  # noqa: D102
        from maetoolkit.model.balance import Weighted

        return Weighted(self.reduction, {name: dict(self.weights).get(name, 1.0) for name in outputs})


class Uncertainty(ObjectiveDescription):
    """Learned weights: exp(-s) * loss + s per output, s learned, nothing for an output without targets.

    Kendall et al. 2018, section 3; MultiMAE, appendix A. The weights are parameters, saved with the model.
    """

    type: Literal["uncertainty"] = "uncertainty"

    def build(self, outputs: tuple[str, ...]) -> Objective:  # noqa: D102
        from maetoolkit.model.balance import Balanced

        return Balanced(self.reduction, outputs)
