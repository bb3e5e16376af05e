"""A tiny model and samples to look at."""

from __future__ import annotations

import numpy as np
import torch

from maetoolkit.data.source import Samples
from maetoolkit.masking.dirichlet import Dirichlet
from maetoolkit.modalities.image import RGB, Depth, StandardizedRGB
from maetoolkit.modalities.semantic import Semantic
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import CrossDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.randomness import generator

SIZE, NUM_CLASSES = 32, 5
THREE = ModalitySet(
    rgb=RGB(size=SIZE, patch=8),
    rgb_std=StandardizedRGB(),
    depth=Depth(size=SIZE, patch=8),
    semantic=Semantic(size=SIZE, patch=8, stride=2, num_classes=NUM_CLASSES, class_dim=4),
)


def tiny_model(modalities: ModalitySet = THREE, num_visible: int = 12) -> MaskedAutoencoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder, decoder = ViT(dim=24, depth=1, heads=2), CrossDecoder(dim=16, depth=1, heads=2)
        return MaskedAutoencoder(modalities, encoder, decoder, Dirichlet(num_visible=num_visible, alpha="inf")).eval()


class TinySamples(Samples):
    """Random images; every entry named in `missing` is absent from every second sample."""

    def __init__(self, num: int = 8, missing: tuple[str, ...] = (), prefix: str = "s") -> None:
        self.num, self.missing, self.prefix = num, missing, prefix

    def __len__(self) -> int:
        return self.num

    def key(self, index: int) -> str:
        return f"{self.prefix}{index}"

    def read(self, index: int) -> dict[str, np.ndarray | None]:
        draw = generator("tiny", self.prefix, index)
        depth = draw.integers(1, 5000, (SIZE, SIZE)).astype(np.uint16)
        depth[:3, :5] = 0
        labels = draw.integers(0, NUM_CLASSES, (SIZE, SIZE)).astype(np.uint8)
        labels[-4:] = 255
        values = {"rgb": draw.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8), "depth": depth, "semantic": labels}
        return {n: None if n in self.missing and index % 2 else v for n, v in values.items()}
