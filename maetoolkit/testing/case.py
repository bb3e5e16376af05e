"""ModalityCase: one modality with data to try it on and a tiny model around it. Axes: B samples, N tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import complete
from maetoolkit.masking.share import Share
from maetoolkit.modalities.grid import GridModality
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import Geometry, Modality, ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder, Ready
from maetoolkit.model.decoder import CrossDecoder, DecoderDescription, JointDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.randomness import Draw, generator
from maetoolkit.tokens import Batch, Field

if TYPE_CHECKING:
    Examples = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

WIDTH = 24  # divides among one, two or three axes of sine and cosine, and two heads
SUBJECT, PARTNER = "subject", "partner"
DECODERS: tuple[DecoderDescription, ...] = (
    CrossDecoder(dim=WIDTH, depth=1, heads=2),
    JointDecoder(dim=WIDTH, depth=1, heads=2),
)


@dataclass(frozen=True)
class ModalityCase:
    """A modality under test.

    modality: what is tried; source: the modality it reads, for one with `of`.
    examples: `examples(generator, shape)` returns one raw value as `read` would, of that frame (height, width), or of
    the declared shape where values have no frame; without it, reals in [0, 1) with some exact zeros, or labels.
    seed: keys all data, masks and weights.
    """

    modality: Modality
    source: Modality | None = None
    examples: Examples | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.modality.of is not None and self.source is None:
            raise ValueError(f"an entry `of` {self.modality.of!r} is checked together with it: give `source`")

    @property
    def field(self) -> str:
        """Name of the entry whose data and tokens the modality uses."""
        return self.modality.of or SUBJECT

    @property
    def data(self) -> Modality:
        """The modality whose data and tokens are used: the one under test, or its source."""
        return self.source if self.modality.of is not None and self.source is not None else self.modality

    @cached_property
    def modalities(self) -> ModalitySet:
        """The modality, its source if it has one, and one more that is given and predicted."""
        own = {self.field: self.data} if self.modality.of is not None else {}
        return ModalitySet(**own, **{SUBJECT: self.modality}, **{PARTNER: RGB(size=(8,), patch=(4,), channels=1)})

    def random(self, *purpose: int | str) -> np.random.Generator:
        """The numbers for one purpose."""
        return generator("laws", self.seed, *purpose)

    @cached_property
    def frame(self) -> tuple[int, int] | None:
        """Height and width of the declared size in the sample's frame, where values have one."""
        data = self.data
        if isinstance(data, GridModality) and data.num_axes != 2:
            return None
        size = data.extent(data.size) if isinstance(data, GridModality) else (32, 32)
        value = self.raw(0, size)
        return None if data.frame(value) is None else (size[0], size[1])

    def raw(self, index: int, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Raw value number `index`, of the given frame."""
        if shape is None:
            shape = self.frame or (self.data.shape if isinstance(self.data, GridModality) else ())
        draw = self.random("example", index)
        return self.examples(draw, shape) if self.examples else plain_example(self.data, draw, shape)

    def transformed(self, index: int) -> np.ndarray:
        """Value number `index` at the declared size, uncropped."""
        return self.data.transform(self.raw(index), Geometry())

    def fields(self, num_samples: int = 3) -> dict[str, Field]:
        """Raw fields of a batch in which everything is present."""
        partner = self.modalities[PARTNER]
        pictures = [self.random("partner", i).random((1, 8, 8), np.float32) for i in range(num_samples)]
        values = [self.transformed(i) for i in range(num_samples)]
        return {self.field: self.data.collate(values), PARTNER: partner.collate(pictures)}

    def batch(self, fields: Mapping[str, Field], plan: MaskPlan | None = None) -> Batch:
        """A batch with keyed randomness of its own."""
        keys = tuple(f"sample {i}" for i in range(len(next(iter(fields.values())))))
        return Batch(fields, keys, Draw.of(self.seed, keys), plan)

    def model(self, decoder: DecoderDescription = DECODERS[0], ratio: float = 0.5) -> MaskedAutoencoder:
        """A tiny model whose weights depend on the seed alone; the global random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            encoder = ViT(dim=WIDTH, depth=1, heads=2, mlp_ratio=2)
            return MaskedAutoencoder(self.modalities, encoder, decoder, Share(ratio=ratio), seed=self.seed)

    def plan(self, fields: Mapping[str, Field], share: float = 0.5) -> MaskPlan:
        """Random visible tokens among the present ones, the hidden ones as targets."""
        layout = Layout.of(self.modalities, fields)
        draw = self.random("plan")
        visible = {n: layout.present[n] & (draw.random(layout.present[n].shape) < share) for n in layout.inputs}
        return complete(layout, visible, "masked")

    def features(self, num: int, number: int = 0) -> Tensor:
        """Decoded features (num, WIDTH) that no decoder made."""
        return torch.as_tensor(self.random("features", number).standard_normal((num, WIDTH), np.float32))

    def elements(self, flags: Tensor, ready: Ready, like: Tensor) -> Tensor | None:
        """The elements of a field that tokens (B, N) are made of, as bool in the shape of `like`.

        None where `unpatchify` gives values of another shape.
        """
        patches = ready.patches[self.field]
        shaped = flags.view(*flags.shape, *[1] * (patches.values.ndim - 2)).expand_as(patches.values)
        whole = self.data.unpatchify(shaped.to(patches.values.dtype), patches.grid) != 0
        return whole if whole.shape == like.shape else None


def plain_example(modality: Modality, draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Reals in [0, 1) with an eighth exact zeros, channels last; labels, some of them void, where there are none."""
    if not isinstance(modality, GridModality):
        raise ValueError(f"cannot make up values for {type(modality).__name__}: give `examples`")
    if modality.has_channels:
        framed = modality.num_axes == 2 and len(shape) == 2
        values = draw.random((*shape, modality.channels) if framed else shape, np.float32)
        return values * (draw.random(values.shape[:2]) > 0.125).reshape(*values.shape[:2], *[1] * (values.ndim - 2))
    labels = draw.integers(getattr(modality, "num_classes", 2), size=shape)
    void = getattr(modality, "void", None)
    return labels if void is None else np.where(draw.random(shape) < 0.125, void, labels)


def predict(model: MaskedAutoencoder, ready: Ready) -> dict[str, Tensor]:
    """Predictions from patches, as `forward` makes them."""
    latent = model.encoder(model.embed(ready.patches, ready.route))
    features = model.decoder(latent, ready.patches, ready.route)
    return {name: head(features[name]) for name, head in model.heads.items()}


def with_values(ready: Ready, name: str, values: Tensor) -> Ready:
    """The same batch with other content in one field's patches."""
    return replace(ready, patches={**ready.patches, name: replace(ready.patches[name], values=values)})
