"""Modalities with one bug each, and the laws that must catch them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import Field as Setting
from torch import Tensor, nn

from maetoolkit.modalities.image import RGB
from maetoolkit.modality import Geometry
from maetoolkit.tokens import Field, Patches


class Small(RGB):
    type: Literal["small"] = "small"
    size: tuple[int, ...] = (8,)
    patch: tuple[int, ...] = (4,)
    channels: int = 2


class BlendsPatches(Small):
    def patchify(self, field: Field) -> Patches:
        patches = super().patchify(field)
        blended = patches.values + 0.1 * patches.values.roll(1, 1)
        return Patches(blended, patches.positions, patches.present, patches.grid)


class LooksAround(Small):
    def build_tokenizer(self, dim: int) -> nn.Module:
        class Centred(nn.Module):
            def __init__(self, inner: nn.Module) -> None:
                super().__init__()
                self.inner = inner

            def forward(self, values: Tensor) -> Tensor:
                tokens: Tensor = self.inner(values)
                return tokens - tokens.mean(0)

        return Centred(super().build_tokenizer(dim))


class ShufflesTokens(Small):
    def patchify(self, field: Field) -> Patches:
        patches = super().patchify(field)
        return Patches(patches.values.flip(1), patches.positions, patches.present, patches.grid)


class LosesTokens(Small):
    def patchify(self, field: Field) -> Patches:
        patches = super().patchify(field)
        return Patches(patches.values[:, 1:], patches.positions, patches.present, patches.grid)


class OneLoss(Small):
    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        total, count = super().token_loss(prediction, target, valid)
        return total.mean(), count.mean()


class AveragedLoss(Small):
    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        total, count = super().token_loss(prediction, target, valid)
        return total.mean().expand_as(total), count


class CountsOtherwise(Small):
    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        total, count = super().token_loss(prediction, target, valid)
        return total, count + 1


class ForgetsAbsence(Small):
    def collate(self, values: Sequence[np.ndarray | None]) -> Field:
        return Field.of(super().collate(values).values)


class BatchStatistics(Small):
    def prepare(self, field: Field) -> Field:
        return Field(field.values - field.values.mean(), field.present, field.valid)


class OtherIdeal(Small):
    def ideal(self, target: Tensor) -> Tensor:
        return 0.9 * target


class RewardsSize(Small):
    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        total, count = super().token_loss(prediction, target, valid)
        return total - 2 * prediction.square().flatten(1).sum(1), count


class IgnoresValidity(Small):
    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        return super().token_loss(prediction, target, None)


class DividesByNothing(Small):
    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        total, count = super().token_loss(prediction, target, valid)
        return total / count, count / count


class DividesByDeviation(Small):
    def prepare(self, field: Field) -> Field:
        return Field(field.values / field.values.std((1, 2, 3), keepdim=True), field.present, field.valid)


class HidesASetting(Small):
    secret: int = Setting(0, exclude=True)


class KeepsAList(Small):
    names: list[str] = []  # noqa: RUF012


class RandomHead(Small):
    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:
        class Noisy(nn.Linear):
            def forward(self, features: Tensor) -> Tensor:
                return super().forward(features).unflatten(1, content) + self.offset

        head = Noisy(dim, int(np.prod(content)))
        head.register_buffer("offset", torch.randn(()), persistent=False)
        return head


class NeverFlips(Small):
    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        return super().transform(value, Geometry(geometry.top, geometry.left, geometry.height, geometry.width))


class FlipsUpsideDown(NeverFlips):
    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        upright = super().transform(value, geometry)
        return np.ascontiguousarray(upright[:, ::-1]) if geometry.flip else upright


class FlipsWithAShift(Small):
    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        turned = super().transform(value, geometry)
        return np.roll(turned, 1, 2) if geometry.flip else turned


class BrightensFlips(Small):
    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        turned = super().transform(value, geometry)
        return turned * np.float32(1.01) if geometry.flip else turned


class NeverCrops(Small):
    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        return super().transform(value, Geometry(flip=geometry.flip))


class WritesIntoItsInput(Small):
    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        value *= 0.5
        return super().transform(value, geometry)


class DrawsReals(Small):
    def picture(self, values: Tensor, grid: tuple[int, ...] | None, truth: Tensor | None = None) -> np.ndarray:
        return super().picture(values, grid, truth) / 255


class DrawsChannelsFirst(Small):
    def picture(self, values: Tensor, grid: tuple[int, ...] | None, truth: Tensor | None = None) -> np.ndarray:
        return super().picture(values, grid, truth).transpose(2, 0, 1)


class Crashes(Small):
    def unpatchify(self, values: Tensor, grid: tuple[int, ...] | None) -> Tensor:
        raise RuntimeError("out of luck")
