"""Modalities with one bug each in what is learnt, or in what is shown of it; and two that have none, with less in
their targets than in their values."""

from __future__ import annotations

import torch
from irregular import Groups
from seeded_modalities import Small
from torch import Tensor, nn

from maetoolkit.modalities.image import StandardizedRGB
from maetoolkit.testing.sequence import Numbers


class LearnsNothing(Small):
    """The number is right, its gradient is zero."""

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        total, count = super().token_loss(prediction, target, valid)
        return total.detach() + 0 * prediction.flatten(1).sum(1), count


class Detaches(Small):
    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        return super().token_loss(prediction.detach(), target, valid)


class LearnsTheOpposite(Small):
    """The number is right, its gradient has the wrong sign."""

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        total, count = super().token_loss(prediction, target, valid)
        return 2 * total.detach() - total, count


class LearnsOneToken(Small):
    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        total, count = super().token_loss(prediction, target, valid)
        return total.where(torch.arange(len(total)) == 0, total.detach()), count


class DoublesItsPictures(Small):
    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:
        return 2 * prediction + 1


class ForgetsTheSpread(StandardizedRGB):
    """What it shows is still standardised."""

    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:
        return prediction


class NextLabel(Numbers):
    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:
        return (prediction.argmax(1) + 1) % self.num_classes


class TurnsItsPoints(Groups):
    """No bug: its loss knows no order of points."""

    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:
        return prediction.flip(1)


class MovesItsPoints(Groups):
    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:
        return prediction.flip(1) + 0.1


class Codes(Small):
    """No bug: a patch is predicted as one of four shades, which is less than its values."""

    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:
        return nn.Linear(dim, 4)

    def target(self, values: Tensor) -> Tensor:
        return (values.flatten(1).mean(1) * 2 + 2).long().clamp(0, 3)

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        count = self.token_count(target, valid)
        entropy = nn.functional.cross_entropy(prediction.float(), target, reduction="none")
        return entropy.where(count > 0, 0.0), count

    def token_count(self, target: Tensor, valid: Tensor | None) -> Tensor:
        return torch.ones(len(target)) if valid is None else valid.flatten(1).any(1).float()

    def ideal(self, target: Tensor) -> Tensor:
        return nn.functional.one_hot(target, 4).float() * 1e4

    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:
        shade = (prediction.argmax(1).float() - 1.5) / 2
        return shade.view(-1, 1, 1, 1).expand_as(values)

    def confidence(self, prediction: Tensor) -> Tensor:
        return prediction.softmax(1).amax(1)


class OtherCodes(Codes):
    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:
        return -super().to_values(prediction, values)


class SureOfAll(Small):
    def confidence(self, prediction: Tensor) -> Tensor:
        return torch.full((len(prediction),), 7.0)


class SurePerChannel(Small):
    def confidence(self, prediction: Tensor) -> Tensor:
        return prediction.flatten(2).mean(2).sigmoid()
