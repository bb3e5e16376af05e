"""Kinds of data that are no regular array: groups of points with real coordinates, and spectra of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from einops import rearrange, reduce, repeat
from torch import Tensor, nn

from maetoolkit.modality import Geometry, Modality, Side
from maetoolkit.testing.sequence import Coordinates
from maetoolkit.tokens import Field, Patches


class Groups(Modality):
    """Points (P, 3) in groups of four along the first axis; a token is a group around its centre, a real position."""

    type: Literal["groups"] = "groups"
    num_groups: int = 4
    overlap: bool = False

    @property
    def num_tokens(self) -> int:
        return self.num_groups

    @property
    def content(self) -> tuple[int, ...]:
        return (4, 3)

    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        draw = geometry.random("points")
        num = 4 * self.num_groups
        chosen = value[:num] if draw is None else value[draw.permutation(len(value))[:num]]
        return np.ascontiguousarray(chosen[np.argsort(chosen[:, 0], kind="stable")], dtype=np.float32)

    def collate(self, values: Sequence[np.ndarray | None]) -> Field:
        blank = np.zeros((4 * self.num_groups, 3), np.float32)
        points = torch.from_numpy(np.stack([blank if v is None else v for v in values]))
        return Field(points, torch.tensor([v is not None for v in values]))

    def patchify(self, field: Field) -> Patches:
        groups = rearrange(field.values, "b (n k) c -> b n k c", k=4)
        if self.overlap:
            groups = torch.cat([groups[:, :, :3], groups.roll(-1, 1)[:, :, :1]], 2)
        centres = reduce(groups, "b n k c -> b n c", "mean")
        present = field.present if field.present.ndim == 2 else repeat(field.present, "b -> b n", n=self.num_groups)
        return Patches(groups - centres[:, :, None], centres, present)

    def build_tokenizer(self, dim: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(12, dim))

    def build_position(self, dim: int, side: Side) -> nn.Module:
        return LearnedCoordinates(dim)

    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:
        return nn.Sequential(nn.Linear(dim, 12), nn.Unflatten(1, (4, 3)))

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Chamfer distance, squared, both ways: the points of a group have no order."""
        distance = (prediction[:, :, None] - target[:, None]).square().sum(3)
        return (distance.amin(1).mean(1) + distance.amin(2).mean(1)).float(), self.token_count(target, valid)

    def token_count(self, target: Tensor, valid: Tensor | None) -> Tensor:
        return torch.ones(len(target))


class LearnedCoordinates(nn.Module):
    """Maps real coordinates to a width; needs no grid."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.GELU(), nn.Linear(16, dim))

    def forward(self, positions: Tensor, grid: None) -> Tensor:
        return self.layers(positions)


def cloud(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return draw.standard_normal((20, 3))


class Spectra(Modality):
    """Spectra (frames, 4) of any length up to 6, padded to the longest of the batch; a token is a frame's half, on a
    grid (frames, 2) that is another one for every batch."""

    type: Literal["spectra"] = "spectra"
    length: int = 6

    @property
    def num_tokens(self) -> int:
        return 2 * self.length

    @property
    def content(self) -> tuple[int, ...]:
        return (2,)

    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        draw, most = geometry.random("clip"), max(0, len(value) - self.length)
        first = most // 2 if draw is None else int(draw.integers(most + 1))
        return value[first : first + self.length]

    def collate(self, values: Sequence[np.ndarray | None]) -> Field:
        longest = max((len(v) for v in values if v is not None), default=self.length)
        frames = torch.zeros(len(values), longest, 4)
        present = torch.zeros(len(values), longest, dtype=torch.bool)
        for row, value in enumerate(values):
            if value is not None:
                frames[row, : len(value)] = torch.from_numpy(value)
                present[row, : len(value)] = True
        return Field(frames, repeat(present, "b t -> b (t f)", f=2))

    def layout(self, field: Field | None) -> tuple[tuple[int, int], int]:
        frames = self.length if field is None else field.values.shape[1]
        return (frames, 2), 2 * frames

    def prepare(self, field: Field) -> Field:
        """Mean 0 over the frames that are there."""
        num = self.layout(field)[1]
        present = field.present if field.present.ndim == 2 else repeat(field.present, "b -> b n", n=num)
        there = repeat(present, "b (t f) -> b t (f h)", f=2, h=2)
        values = field.values.where(there, 0.0)
        mean = values.sum((1, 2), keepdim=True) / there.sum((1, 2), keepdim=True).clamp(min=1)
        return Field((values - mean).where(there, 0.0), field.present, field.valid)

    def patchify(self, field: Field) -> Patches:
        grid, num = self.layout(field)
        places = torch.cartesian_prod(torch.arange(grid[0]), torch.arange(2)).expand(len(field), -1, -1)
        present = field.present if field.present.ndim == 2 else repeat(field.present, "b -> b n", n=num)
        cut = [None if v is None else rearrange(v, "b t (f h) -> b (t f) h", f=2) for v in (field.values, field.valid)]
        return Patches(cut[0], places, present, grid, cut[1])

    def unpatchify(self, values: Tensor, grid: tuple[int, ...] | None) -> Tensor:
        return rearrange(values, "b (t f) h -> b t (f h)", f=2)

    def build_tokenizer(self, dim: int) -> nn.Module:
        return nn.Linear(2, dim)

    def build_position(self, dim: int, side: Side) -> nn.Module:
        return Coordinates(dim)

    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:
        return nn.Linear(dim, 2)

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        error = (prediction.float() - target.float()).square()
        error = error if valid is None else error.where(valid, 0.0)
        return error.sum(1), self.token_count(target, valid)


def spectrum(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return draw.standard_normal((int(draw.integers(1, 9)), 4)).astype(np.float32)
