"""Teachers with one bug each, by the word in `wrong`; "" has none."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from maetoolkit.modality import Modality
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.target import TargetDescription
from maetoolkit.model.teacher import Teacher
from maetoolkit.tokens import Batch


class Projection(TargetDescription):
    """Patches under a random linear map, in one of many ways that may be wrong."""

    type: Literal["projection"] = "projection"
    dim: int = 8
    wrong: str = ""

    def width(self, encoder_dim: int, entry: Modality) -> int:
        return self.dim + (self.wrong == "wide")

    def build(self, model: MaskedAutoencoder, entry: str) -> Teacher:
        return ProjectionTeacher(self, model, entry)


class ProjectionTeacher(Teacher):
    def __init__(self, settings: Projection, model: MaskedAutoencoder, entry: str) -> None:
        super().__init__()
        self.wrong, self.entry, self.modality = settings.wrong, entry, model.modalities[entry]
        self.map = nn.LazyLinear(settings.dim) if settings.wrong == "lazy" else nn.Linear(768, settings.dim)
        if settings.wrong == "shares":
            self.tokens = model.encoder
        self.register_buffer("noise", torch.rand(settings.dim), persistent=False)
        self.moves = settings.wrong == "stands still"

    def forward(self, batch: Batch) -> Tensor:
        field = batch.fields[self.entry]
        if self.wrong == "mutates":
            field.values.mul_(0.5)
        features: Tensor = self.map(self.modality.patchify(self.modality.prepare(field)).values.flatten(2))
        match self.wrong:
            case "batch norm":
                return features - features.mean((0, 1))
            case "random":
                return features + torch.rand(())
            case "constant":
                return features[:1].expand_as(features)
            case "forgets":
                return features + self.noise
        return features

    def update(self, model: MaskedAutoencoder, progress: float) -> None:
        if self.wrong == "drifts":
            self.map.weight.mul_(0.9)


BROKEN = [
    ("features", "wide", "expected (3, 6, 9)"),
    ("features", "constant", "ignores its input"),
    ("pure", "batch norm", "alone and in a batch"),
    ("pure", "random", "torch's global random state"),
    ("pure", "mutates", "changes the batch"),
    ("apart", "shares", "teacher and student share"),
    ("apart", "drifts", "`moves` is False, but its weights changed"),
    ("apart", "stands still", "`moves` is True, but its weights stayed"),
    ("round trip", "forgets", "kept outside the state dict"),
]
