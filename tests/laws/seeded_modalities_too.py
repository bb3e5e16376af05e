"""More modalities with one bug each: those that issue 3 names, and those of ragged kinds of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from seeded_modalities import Small
from torch import Tensor, nn

from maetoolkit.modalities.image import Depth
from maetoolkit.modality import Geometry, Side
from maetoolkit.testing.sequence import Numbers
from maetoolkit.tokens import Field, Patches


class Convolves(Small):
    """A leaky convolution tokenizer: every token is made of its neighbours too."""

    def build_tokenizer(self, dim: int) -> nn.Module:
        class Convolution(nn.Module):
            def __init__(self, inner: nn.Module) -> None:
                super().__init__()
                self.inner, self.blend = inner, nn.Conv1d(dim, dim, 3, padding=1)

            def forward(self, values: Tensor) -> Tensor:
                return self.blend(self.inner(values).T[None])[0].T

        return Convolution(super().build_tokenizer(dim))


class NormalisesOverTheBatch(Small):
    def build_tokenizer(self, dim: int) -> nn.Module:
        return nn.Sequential(super().build_tokenizer(dim), nn.BatchNorm1d(dim))


class KeepsNaN(Depth):
    """A NaN in a visible patch poisons the loss."""

    type: Literal["keeps_nan"] = "keeps_nan"  # type: ignore[assignment]
    size: tuple[int, ...] = (8,)
    patch: tuple[int, ...] = (4,)

    def prepare(self, field: Field) -> Field:
        return Field(field.values.float(), field.present, field.values.isfinite())


def measured_in_part(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.where(draw.random(shape) < 0.2, np.nan, draw.random(shape)).astype(np.float32)


class IntegerZero(Small):
    """The loss of what is wholly void is an integer zero without gradient."""

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        if valid is not None and not bool(valid.any()):
            return torch.zeros(len(target), dtype=torch.int64), torch.zeros(len(target))
        return super().token_loss(prediction, target, valid)


class NarrowHead(Small):
    """A head of the wrong width, which broadcasting hides in the loss."""

    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:
        return nn.Sequential(nn.Linear(dim, 1), nn.Unflatten(1, (1, 1, 1)))


class WritesIntoTheBatch(Small):
    def prepare(self, field: Field) -> Field:
        field.values.sub_(0.5)
        return field


class DrawsGlobally(Small):
    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        noise = 0 if geometry.path is None else np.random.random()
        return super().transform(value + np.float32(noise), geometry)


class Remembers(Small):
    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        before = MEMORY.get("mean", 0.0)
        MEMORY["mean"] = float(value.mean())
        return super().transform(value - np.float32(before), geometry)


MEMORY: dict[str, float] = {}


class NumbersItsTokens(Small):
    """Positions that ignore the grid."""

    def patchify(self, field: Field) -> Patches:
        patches = super().patchify(field)
        places = torch.arange(patches.num_tokens)[:, None].expand(len(field), -1, -1)
        return Patches(patches.values, places, patches.present, patches.grid)


class SwapsAxes(Small):
    size: tuple[int, ...] = (8, 16)

    def patchify(self, field: Field) -> Patches:
        patches = super().patchify(field)
        rows = (patches.grid or (1, 1))[0]
        number = torch.arange(patches.num_tokens)
        places = torch.stack([number % rows, number // rows], 1).expand(len(field), -1, -1)
        return Patches(patches.values, places, patches.present, patches.grid)


class OnePlaceForAll(Small):
    def patchify(self, field: Field) -> Patches:
        patches = super().patchify(field)
        return Patches(patches.values, patches.positions * 0, patches.present, patches.grid)


class PlacesInTurn(Small):
    """Its position module gives the first T rows of a table, whatever the coordinates are."""

    def build_position(self, dim: int, side: Side) -> nn.Module:
        class Table(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.table = nn.Parameter(torch.zeros(64, dim))

            def forward(self, positions: Tensor, grid: tuple[int, ...] | None) -> Tensor:
                return self.table[: len(positions)]

        return Table()


class CountsFromTheEnd(Numbers):
    """Positions that depend on how far the batch is padded."""

    def patchify(self, field: Field) -> Patches:
        patches = super().patchify(field)
        return Patches(patches.values, patches.positions.flip(1), patches.present, valid=patches.valid)


class PadsWithData(Numbers):
    """Padding is marked as present."""

    def collate(self, values: Sequence[np.ndarray | None]) -> Field:
        field = super().collate(values)
        return Field(field.values, field.present.any(1, keepdim=True).expand_as(field.present))


class SaysTheLongest(Numbers):
    """`layout` of a batch speaks of the declared length."""

    def layout(self, field: Field | None) -> tuple[None, int]:
        return None, self.length
