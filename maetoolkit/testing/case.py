"""ModalityCase: one modality with data to try it on and a tiny model around it. Axes: B samples, N tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import complete
from maetoolkit.masking.share import Share
from maetoolkit.modalities.grid import GridModality
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import Geometry, Modality, ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import CrossDecoder, DecoderDescription, JointDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.randomness import Draw, generator
from maetoolkit.testing.examples import Examples, plain_example
from maetoolkit.testing.law import code_of
from maetoolkit.tokens import Batch, Field, Patches

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
    examples: gives raw values, see `Examples`; without it, reals in [0, 1) with some exact zeros, or labels.
    seed: keys all data, masks and weights.
    expected: laws that fail by design, each with the reason; one that holds all the same is an error.
    """

    modality: Modality
    source: Modality | None = None
    examples: Examples | None = None
    seed: int = 0
    expected: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.modality.of is not None and self.source is None:
            raise ValueError(f"an entry `of` {self.modality.of!r} is checked together with it: give `source`")

    @property
    def code(self) -> str:
        """Python that makes this case again."""
        more = "" if self.source is None else f", source={code_of(self.source)}"
        more += "" if self.examples is None else f", examples={getattr(self.examples, '__name__', 'examples')}"
        return f"case = ModalityCase({code_of(self.modality)}{more}{f', seed={self.seed}' if self.seed else ''})"

    @property
    def entry(self) -> str:
        """Name of the entry whose data and tokens the modality uses."""
        return self.modality.of or SUBJECT

    @property
    def data(self) -> Modality:
        """The modality whose data and tokens are used: the one under test, or its source."""
        return self.source if self.modality.of is not None and self.source is not None else self.modality

    @cached_property
    def modalities(self) -> ModalitySet:
        """The modality, its source if it has one, and one more that is given and predicted."""
        own = {self.entry: self.data} if self.modality.of is not None else {}
        return ModalitySet(**own, **{SUBJECT: self.modality}, **{PARTNER: RGB(size=(8,), patch=(4,), channels=1)})

    def random(self, *purpose: int | str) -> np.random.Generator:
        """The numbers for one purpose."""
        return generator("laws", self.seed, *purpose)

    @cached_property
    def frame(self) -> tuple[int, int] | None:
        """Height and width of the declared size in the sample's frame, where values have one."""
        data = self.data
        size: tuple[int, ...] = (32, 32)
        if isinstance(data, GridModality):
            if data.num_axes != 2 and type(data).frame is GridModality.frame:
                return None
            size = data.extent(data.size)[-2:]
        if type(data).frame is Modality.frame or data.frame(self.raw(0, size)) is None:
            return None
        return (size[0], size[1])

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
        return self.collated(range(num_samples))

    def collated(self, samples: range) -> dict[str, Field]:
        """Raw fields of a batch of the given samples."""
        pictures = [self.random("partner", i).random((1, 8, 8), np.float32) for i in samples]
        own = self.data.collate([self.transformed(i) for i in samples])
        return {self.entry: own, PARTNER: self.modalities[PARTNER].collate(pictures)}

    def prepared(self, num_samples: int = 3) -> Field:
        """The modality's own field as it is cut."""
        return self.data.prepare(self.fields(num_samples)[self.entry])

    def patches(self, num_samples: int = 3) -> Patches:
        """The modality's own field cut into tokens."""
        return self.data.patchify(self.prepared(num_samples))

    def batch(self, fields: Mapping[str, Field], plan: MaskPlan | None = None, first: int = 0) -> Batch:
        """A batch with keyed randomness of its own, and made-up features where the modality is taught."""
        num_samples = len(next(iter(fields.values())))
        keys = tuple(f"sample {first + i}" for i in range(num_samples))
        taught: dict[str, Tensor] = {}
        if self.modality.taught_by() is not None:
            num_tokens = self.data.layout(fields[self.entry])[1]
            taught[SUBJECT] = torch.stack([self.taught(num_tokens, first + i) for i in range(num_samples)])
        return Batch(fields, keys, Draw.of(self.seed, keys), plan, targets=taught)

    def taught(self, num: int, number: int = 0) -> Tensor:
        """Features (num, width) as the modality's teacher might give them."""
        teacher = self.modality.taught_by()
        assert teacher is not None
        draw = self.random("teacher", number)
        return torch.as_tensor(draw.standard_normal((num, teacher.width(WIDTH, self.data)), np.float32))

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

    def elements(self, flags: Tensor, patches: Patches, like: Tensor) -> Tensor | None:
        """The elements of a field that tokens (B, N) are made of, as bool in the shape of `like`.

        None where `unpatchify` gives values of another shape.
        """
        shaped = over_content(flags, patches.values).expand_as(patches.values)
        whole = self.data.unpatchify(shaped.to(patches.values.dtype), patches.grid) != 0
        return whole if whole.shape == like.shape else None

    def reseeded(self) -> ModalityCase:
        """The same case with other data, masks and weights."""
        return replace(self, seed=self.seed + 1)


def over_content(flags: Tensor, values: Tensor) -> Tensor:
    """Flags (B, N) as (B, N, 1, ...), to go with patch values."""
    return flags.view(*flags.shape, *[1] * (values.ndim - 2))
