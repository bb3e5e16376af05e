"""Numbers: a small ragged modality for trying samplers and decoders on. Axes: B samples, N tokens, T chosen ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from maetoolkit.layers.position import sincos
from maetoolkit.modality import Geometry, Modality, Side
from maetoolkit.tokens import Field, Patches


class Numbers(Modality):
    """Integers below `num_classes` in a row of any length up to `length`, a token each; padded to the longest."""

    type: Literal["numbers"] = "numbers"
    num_classes: int = 7
    length: int = 5

    @property
    def num_tokens(self) -> int:  # noqa: D102
        return self.length

    @property
    def content(self) -> tuple[int, ...]:  # noqa: D102
        return ()

    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:  # noqa: D102
        return value[: self.length]

    def collate(self, values: Sequence[np.ndarray | None]) -> Field:  # noqa: D102
        longest = max((len(v) for v in values if v is not None), default=1)
        ids = torch.zeros(len(values), longest, dtype=torch.int64)
        present = torch.zeros(len(values), longest, dtype=torch.bool)
        for row, value in enumerate(values):
            if value is not None:
                ids[row, : len(value)] = torch.from_numpy(value)
                present[row, : len(value)] = True
        return Field(ids, present)

    def layout(self, field: Field | None) -> tuple[None, int]:  # noqa: D102
        return None, self.length if field is None else field.values.shape[1]

    def patchify(self, field: Field) -> Patches:  # noqa: D102
        num = field.values.shape[1]
        present = field.present if field.present.ndim == 2 else field.present[:, None].expand(-1, num)
        places = torch.arange(num, device=field.values.device)[:, None].expand(len(field), -1, -1)
        return Patches(field.values, places, present, valid=field.valid)

    def build_tokenizer(self, dim: int) -> nn.Module:  # noqa: D102
        return nn.Embedding(self.num_classes, dim)

    def build_position(self, dim: int, side: Side) -> nn.Module:  # noqa: D102
        return Coordinates(dim)

    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:  # noqa: D102
        return nn.Linear(dim, self.num_classes)

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:  # noqa: D102
        labels = target if valid is None else target.where(valid, -100)
        entropy = nn.functional.cross_entropy(prediction.float(), labels, reduction="none")
        return entropy, self.token_count(target, valid)

    def ideal(self, target: Tensor) -> Tensor:  # noqa: D102
        return nn.functional.one_hot(target, self.num_classes).float() * 1e4

    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:  # noqa: D102
        return prediction.argmax(1)


class Coordinates(nn.Module):
    """Sine and cosine of coordinates that need no grid."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, positions: Tensor, grid: tuple[int, ...] | None) -> Tensor:
        """Embeddings (T, dim) of coordinates (T, axes)."""
        return sincos(positions.cpu(), self.dim).to(positions.device)


def numbers(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """One raw value of `Numbers`: one to eight integers."""
    return draw.integers(7, size=int(draw.integers(1, 9)))
