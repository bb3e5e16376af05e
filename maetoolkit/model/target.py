"""Targets that are made by a network instead of being cut from the data; descriptions of the teachers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field as Setting
from pydantic import PositiveInt

from maetoolkit.description import Description

if TYPE_CHECKING:
    from maetoolkit.modality import Modality
    from maetoolkit.model.autoencoder import MaskedAutoencoder
    from maetoolkit.model.teacher import Teacher

Momentum = Annotated[float, Setting(ge=0, le=1)]


class TargetDescription(Description, ABC):
    """Settings of a teacher: what an output of type `features` should predict at the tokens of the entry it is `of`."""

    @abstractmethod
    def width(self, encoder_dim: int, entry: Modality) -> int:
        """The width of the features of the tokens of `entry`, for a student of width `encoder_dim`; builds no weights.

        Raises ConfigError where there are none of such an entry.
        """

    @abstractmethod
    def build(self, model: MaskedAutoencoder, entry: str) -> Teacher:
        """The teacher for the tokens of `entry`, beside a student `model` that it must not hold on to."""


class TimmFeatures(TargetDescription):
    """Token features of a frozen timm model, from its last block or stage after its norm (EVA, section 2.1).

    `weights` is a safetensors file in the model's own names; without it timm's pretrained weights are used, or, where
    `pretrained` is off, random ones (Random features are a baseline). The image is resized so that the teacher's grid
    is the student's.
    """

    type: Literal["timm"] = "timm"
    name: str
    weights: str | None = None
    pretrained: bool = True

    def width(self, encoder_dim: int, entry: Modality) -> int:  # noqa: D102
        return _timm_width(self.name)

    def build(self, model: MaskedAutoencoder, entry: str) -> Teacher:  # noqa: D102
        from maetoolkit.model.teacher import TimmTeacher

        return TimmTeacher(self, model, entry)


class Ema(TargetDescription):
    """Features of an exponential moving average of the student, which sees everything that is present (data2vec).

    After each optimizer step, average = momentum * average + (1 - momentum) * student, with the momentum rising along
    a half cosine from `momentum` to `final_momentum` over the run (BYOL, section 3.3). `layers` is how many of the last
    blocks are averaged, each standardised per token first where there is more than one (data2vec, section 3.3).
    """

    type: Literal["ema"] = "ema"
    momentum: Momentum = 0.996
    final_momentum: Momentum = 1.0
    layers: PositiveInt = 1

    def width(self, encoder_dim: int, entry: Modality) -> int:  # noqa: D102
        return encoder_dim

    def build(self, model: MaskedAutoencoder, entry: str) -> Teacher:  # noqa: D102
        from maetoolkit.model.teacher import EmaTeacher

        return EmaTeacher(self, model, entry)


@lru_cache(maxsize=16)
def _timm_width(name: str) -> int:
    import timm
    import torch

    from maetoolkit.errors import ConfigError

    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0].split('_')[0]}*")[:3]
        raise ConfigError(f"target.name: timm has no model {name!r}; near ones are {', '.join(near) or 'none'}")
    with torch.device("meta"):
        network: Any = timm.create_model(name, pretrained=False, num_classes=0)
    return int(network.num_features)
