"""Teachers: networks beside the student whose features it predicts. Axes: B samples, N tokens, D feature width."""

from __future__ import annotations

import copy
import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from maetoolkit.errors import ConfigError
from maetoolkit.model.positions import spread
from maetoolkit.tokens import Batch, map_tensors

if TYPE_CHECKING:
    from maetoolkit.model.autoencoder import MaskedAutoencoder
    from maetoolkit.model.target import Ema, TimmFeatures


class Teacher(nn.Module, ABC):
    """Features for every token of one entry; its weights belong to the trainer, never to the student or optimizer.

    `moves`: its weights change with the run and are saved with it; those of a frozen teacher are only recognised.
    """

    moves: bool = False

    @abstractmethod
    def forward(self, batch: Batch) -> Float[Tensor, "B N D"]:
        """Features of all tokens of the entry; anything where the entry is absent."""

    def update(self, model: MaskedAutoencoder, progress: float) -> None:
        """The student has taken an optimizer step; `progress` is the share of the run done."""


class Teachers:
    """The teachers of a model's outputs; calling it adds their features to a batch.

    Raises ConfigError where a teacher cannot be built.
    """

    def __init__(self, model: MaskedAutoencoder) -> None:
        self._teachers: dict[str, Teacher] = {}
        self._known: dict[str, str] = {}  # frozen weights are hashed once
        for name in model.modalities.outputs:
            description = model.modalities[name].taught_by()
            if description is not None:
                teacher = description.build(model, model.modalities.source(name))
                self._teachers[name] = teacher.requires_grad_(False).eval().to(model.device)

    def __len__(self) -> int:
        return len(self._teachers)

    def __getitem__(self, name: str) -> Teacher:
        return self._teachers[name]

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Batch:
        """The batch with `targets` for every output that has a teacher."""
        if not self._teachers:
            return batch
        return replace(batch, targets={name: teacher(batch) for name, teacher in self._teachers.items()})

    @torch.no_grad()
    def update(self, model: MaskedAutoencoder, progress: float) -> None:
        """Tell all teachers of an optimizer step."""
        for teacher in self._teachers.values():
            teacher.update(model, progress)

    def state(self) -> dict[str, Tensor]:
        """Weights of the teachers that move, as `<output>/<parameter>`."""
        moving = {name: teacher for name, teacher in self._teachers.items() if teacher.moves}
        return {f"{name}/{key}": value for name, each in moving.items() for key, value in each.state_dict().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave. Raises RuntimeError where it is another teacher's."""
        for name, teacher in self._teachers.items():
            if teacher.moves:
                own = {k.partition("/")[2]: v for k, v in state.items() if k.partition("/")[0] == name}
                teacher.load_state_dict(own, strict=True)

    def fingerprints(self) -> dict[str, str]:
        """A hash of the weights of every frozen teacher, by which a run knows it again."""
        for name, teacher in self._teachers.items():
            if not teacher.moves and name not in self._known:
                self._known[name] = fingerprint(teacher)
        return dict(self._known)


def fingerprint(module: nn.Module) -> str:
    """SHA-256 of all weights, in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class TimmTeacher(Teacher):
    """A frozen timm model on the images of one entry, resized so that its token grid is the student's."""

    mean: Tensor
    std: Tensor
    own_mean: Tensor
    own_std: Tensor

    def __init__(self, settings: TimmFeatures, model: MaskedAutoencoder, entry: str) -> None:
        super().__init__()
        self.entry, self.modality = entry, model.modalities[entry]
        content = self.modality.content
        if len(content) != 3 or content[0] != 3:
            raise ConfigError(
                f"target: a timm teacher needs images of three channels, and {entry!r} has patches of shape {content}; "
                "give features of another entry"
            )
        network: Any = _network(settings)
        self.network, self.reduction = network, int(network.feature_info[-1]["reduction"])
        mean, std = (network.pretrained_cfg.get(key, 0.5) for key in ("mean", "std"))
        own = getattr(self.modality, "statistics", lambda: ((0.0,) * 3, (1.0,) * 3))()
        for name, numbers in (("mean", mean), ("std", std), ("own_mean", own[0]), ("own_std", own[1])):
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float32).expand(3).reshape(3, 1, 1).clone())

    def forward(self, batch: Batch) -> Float[Tensor, "B N D"]:  # noqa: D102
        field = map_tensors(batch.fields[self.entry], lambda tensor: tensor.to(self.mean.device))
        grid, _ = self.modality.layout(field)
        assert grid is not None
        pixels = self.modality.prepare(field).values * self.own_std + self.own_mean
        size = [cells * self.reduction for cells in grid]
        pixels = F.interpolate((pixels - self.mean) / self.std, size, mode="bicubic", antialias=True)
        network: Any = self.network
        found = network.forward_intermediates(pixels, indices=1, norm=True, intermediates_only=True)[-1]
        if tuple(found.shape[2:]) != tuple(grid):
            found = F.interpolate(found.float(), tuple(grid), mode="bilinear", antialias=True)
        return found.flatten(2).mT


class EmaTeacher(Teacher):
    """The student's input side as it was on average over its last steps."""

    moves = True

    def __init__(self, settings: Ema, model: MaskedAutoencoder, entry: str) -> None:
        super().__init__()
        self.entry, self.settings = entry, settings
        decoder, heads, sampler = model.decoder, model.heads, model.sampler
        try:  # what the copy never uses is not copied
            model.decoder, model.heads = nn.Module(), nn.ModuleDict()
            model.sampler = None  # type: ignore[assignment]
            self.student = copy.deepcopy(model)
        finally:
            model.decoder, model.heads, model.sampler = decoder, heads, sampler
        if settings.layers > len(model.encoder.blocks):
            raise ConfigError(
                f"target.layers: expected at most {len(model.encoder.blocks)} blocks, found {settings.layers}"
            )

    def forward(self, batch: Batch) -> Float[Tensor, "B N D"]:  # noqa: D102
        num = self.settings.layers
        encoded = self.student.encode(batch, layers=range(-num, 0))
        rows, kept = encoded.route.rows[self.entry], encoded.route.kept[self.entry]
        states = [layer.x.index_select(0, rows).float() for layer in encoded.layers]
        mean = torch.stack([F.layer_norm(s, s.shape[-1:]) if num > 1 else s for s in states]).mean(0)
        return spread(mean, kept, (len(batch), encoded.route.num_tokens[self.entry]))

    def update(self, model: MaskedAutoencoder, progress: float) -> None:  # noqa: D102
        first, last = self.settings.momentum, self.settings.final_momentum
        momentum = last - (last - first) * (math.cos(math.pi * min(progress, 1.0)) + 1) / 2
        fresh = model.state_dict()
        for name, value in self.student.state_dict().items():
            if value.is_floating_point():
                value.lerp_(fresh[name].to(value), 1 - momentum)
            else:
                value.copy_(fresh[name])


def _network(settings: TimmFeatures) -> nn.Module:
    import timm

    pretrained = settings.pretrained and settings.weights is None
    guard = torch.random.fork_rng(devices=[]) if not pretrained else nullcontext()
    try:
        with guard:
            if not pretrained:
                torch.manual_seed(0)
            try:
                network = timm.create_model(settings.name, pretrained, num_classes=0, dynamic_img_size=True)
            except TypeError:  # models without position tables take images of any size anyway
                network = timm.create_model(settings.name, pretrained, num_classes=0)
        if settings.weights is not None:
            from safetensors.torch import load_file

            missing, _ = network.load_state_dict(load_file(settings.weights), strict=False)
            if missing:
                raise ValueError(f"{settings.weights} lacks {len(missing)} weights, such as {missing[0]}")
    except Exception as error:
        raise ConfigError(f"target: the teacher {settings.name!r} cannot be had: {error}") from error
    if not hasattr(network, "forward_intermediates"):
        raise ConfigError(
            f"target.name: timm's {settings.name!r} gives no token features; use a vit, convnext or resnet"
        )
    return network
