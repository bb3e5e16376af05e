"""Sequences of numbers of unequal length: the smallest modality without a grid of equal entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maetoolkit.layers.position import GridPosition
from maetoolkit.modality import Modality, Side
from maetoolkit.tokens import Field, Patches

LENGTH, NUM_WORDS = 7, 11


class Words(Modality):
    """Values (B, 7) of word numbers; what is behind the end of a sequence is absent."""

    type: Literal["words"] = "words"

    @property
    def num_tokens(self) -> int:
        return LENGTH

    @property
    def content(self) -> tuple[int, ...]:
        return ()

    def layout(self, field: Field | None) -> tuple[tuple[int, ...], int]:
        return (LENGTH,), LENGTH

    def collate(self, values: Sequence[np.ndarray | None]) -> Field:
        rows = [np.zeros(0, np.int64) if value is None else value for value in values]
        padded = np.stack([np.pad(row, (0, LENGTH - len(row))) for row in rows])
        return Field(torch.from_numpy(padded), torch.from_numpy(np.arange(LENGTH) < [[len(row)] for row in rows]))

    def patchify(self, field: Field) -> Patches:
        num = len(field)
        present = field.present if field.present.ndim == 2 else field.present[:, None].expand(num, LENGTH)
        return Patches(field.values, torch.arange(LENGTH)[None, :, None].expand(num, -1, -1), present, (LENGTH,))

    def build_tokenizer(self, dim: int) -> nn.Module:
        return _Embedding(dim)

    def build_position(self, dim: int, side: Side) -> nn.Module:
        return GridPosition(dim, (LENGTH,))

    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:
        return nn.Linear(dim, NUM_WORDS)

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        return F.cross_entropy(prediction.float(), target, reduction="none"), torch.ones(len(target))

    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:
        return prediction.argmax(1)


class _Embedding(nn.Embedding):
    """Absent places may hold any number; they are never asked for."""

    def __init__(self, dim: int) -> None:
        super().__init__(NUM_WORDS, dim)
