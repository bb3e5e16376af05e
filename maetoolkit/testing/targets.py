"""The laws of targets that a network makes. Axes: B samples, N tokens, D feature width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from maetoolkit.masking.share import Share
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import Modality, ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import CrossDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.model.target import TargetDescription
from maetoolkit.model.teacher import Teacher
from maetoolkit.randomness import Draw, generator
from maetoolkit.testing.law import code_of, law, require
from maetoolkit.testing.pure import undisturbed
from maetoolkit.testing.roundtrip import description_survives, weights_survive
from maetoolkit.tokens import Batch, Field

WIDTH = 24


@dataclass(frozen=True)
class TargetCase:
    """A teacher under test, beside a tiny student.

    description: what is tried; entry: the modality whose tokens it is for (colour on a grid of 2 x 3 where None), with
    `values` (B, ...) as its field holds them (uniform random numbers where None); seed: keys everything;
    expected: laws that fail by design, each with the reason.
    """

    description: TargetDescription
    entry: Modality | None = None
    values: Tensor | None = None
    seed: int = 0
    expected: Mapping[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Python that makes this case again."""
        return f"case = TargetCase({code_of(self.description)})"

    @property
    def modality(self) -> Modality:
        """What the teacher looks at."""
        return self.entry or RGB(size=(32, 48), patch=(16,))

    def student(self) -> MaskedAutoencoder:
        """A tiny model, whose weights depend on the seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            encoder, decoder = ViT(dim=WIDTH, depth=2, heads=2), CrossDecoder(dim=WIDTH, depth=1, heads=2)
            return MaskedAutoencoder(ModalitySet(entry=self.modality), encoder, decoder, Share(ratio=0.5))

    def teacher(self, student: MaskedAutoencoder | None = None) -> Teacher:
        """The teacher as the trainer uses it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            built = self.description.build(student or self.student(), "entry")
        return built.requires_grad_(False).eval()

    def batch(self, samples: list[int]) -> Batch:
        """A batch of some of three samples."""
        values = self.values
        if values is None:
            shape = (3, *getattr(self.modality, "shape", ()))
            values = torch.as_tensor(generator("laws", self.seed, "values").random(shape, np.float32))
        keys = tuple(f"sample {i}" for i in samples)
        return Batch({"entry": Field.of(values[samples])}, keys, Draw.of(self.seed, keys))


@law(
    "features",
    why="The student's head is as wide as `width` says, and has a target for each of its tokens.",
    see="case.teacher()(case.batch([0, 1, 2])).shape, case.description.width(24, case.modality)",
)
def features(case: TargetCase) -> None:
    """A teacher gives finite floating-point features (B, N, width), a row per token of its entry, that differ between
    samples and carry no gradient."""
    batch, student = case.batch([0, 1, 2]), case.student()
    found = case.teacher(student)(batch)
    num, width = case.modality.layout(batch.fields["entry"])[1], case.description.width(WIDTH, case.modality)
    require(
        tuple(found.shape) == (3, num, width), f"features of shape {tuple(found.shape)}, expected {(3, num, width)}"
    )
    require(found.is_floating_point() and bool(found.isfinite().all()), f"features are {found.dtype}, or not finite")
    require(not found.requires_grad, "features carry a gradient although no weight of the teacher does")
    require(not torch.equal(found[0], found[1]), "two samples have the same features; the teacher ignores its input")


@law(
    "pure",
    why="A target that changes with the batch, or with a random state, is another target in every epoch.",
    see="teacher = case.teacher()\nteacher(case.batch([0, 1, 2]))[1:2], teacher(case.batch([1]))",
)
def pure_features(case: TargetCase) -> None:
    """Features of a sample are the same when asked again, and, to 1e-4, alone and in a batch; neither the batch nor a
    random state is changed."""
    teacher, batch = case.teacher(), case.batch([0, 1, 2])
    before = batch.fields["entry"].values.clone()
    with undisturbed("the teacher"), torch.no_grad():
        first, second = teacher(batch), teacher(batch)
        alone = teacher(case.batch([1]))
    require(torch.equal(before, batch.fields["entry"].values), "the teacher changes the batch")
    require(torch.equal(first, second), "the teacher gives other features when it is asked again")
    torch.testing.assert_close(
        alone[0], first[1], rtol=1e-4, atol=1e-4, msg=lambda text: f"features differ alone and in a batch: {text}"
    )


@law(
    "apart",
    why="A teacher that shares weights with the student teaches it what it says already, and is trained with it.",
    see="student = case.student(); teacher = case.teacher(student)\n"
    "{p.data_ptr() for p in student.parameters()} & {p.data_ptr() for p in teacher.parameters()}",
)
def apart(case: TargetCase) -> None:
    """Teacher and student share no weight; building, asking and updating the teacher leave the student as it was; only
    a teacher with `moves` changes when the student has taken a step, and then it does."""
    student = case.student()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    teacher = case.teacher(student)
    with torch.no_grad():
        teacher(case.batch([0, 1]))
    own = {value.data_ptr() for value in teacher.state_dict().values() if value.numel()}
    shared = [name for name, value in student.state_dict().items() if value.numel() and value.data_ptr() in own]
    require(not shared, f"teacher and student share {', '.join(shared[:3])}")
    held = {name: value.clone() for name, value in teacher.state_dict().items()}
    other = replace(case, seed=case.seed + 1).student()
    with torch.no_grad():
        teacher.update(other, 0.5)
    moved = any(not torch.equal(value, held[name]) for name, value in teacher.state_dict().items())
    require(moved == teacher.moves, f"`moves` is {teacher.moves}, but its weights {'changed' if moved else 'stayed'}")
    changed = [name for name, value in student.state_dict().items() if not torch.equal(value, before[name])]
    require(not changed, f"the teacher changes {', '.join(changed[:3])} of the student")


@law(
    "round trip",
    why="A resumed run must be taught by the same teacher.",
    see="plain = case.description.model_dump(mode='json')\nplain, type(case.description).model_validate(plain)",
)
def target_round_trip(case: TargetCase) -> None:
    """The description survives plain values, YAML and a pickle; the state survives safetensors, and the same features
    come out."""
    description_survives(case.description)
    teacher, other = case.teacher(), replace(case, seed=case.seed + 1).teacher()
    weights_survive(teacher, other)
    with torch.no_grad():
        one, two = teacher(case.batch([0, 1])), other(case.batch([0, 1]))
    require(torch.equal(one, two), "features differ after safetensors: something is kept outside the state dict")
