"""The one shared encoder over the visible tokens of all modalities, and its description."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field as Setting
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from maetoolkit.description import Description
from maetoolkit.model.decoder import Activation

if TYPE_CHECKING:
    from maetoolkit.model.trunk import Trunk


SIZES = ("dim", "depth", "heads", "mlp_ratio", "activation")


class EncoderDescription(Description, ABC):
    """Settings of a shared encoder.

    `modality_embedding` adds a learned vector per input to its tokens (M3AE, section 3); without it the bias of the
    projection is what tells inputs apart (MultiMAE, section 3.1).
    """

    num_global_tokens: NonNegativeInt = 1
    modality_embedding: bool = False

    @abstractmethod
    def build(self) -> Trunk:
        """The encoder module: `dim`, `global_tokens`, and Packed -> Packed of one width."""


class ViT(EncoderDescription):
    """A timm vision transformer trunk: by timm `name`, or by `dim`, `depth` and `heads` (ViT-B by default).

    `final_norm` is on in MAE and off in MultiMAE. `init` is a checkpoint to start from: a safetensors file, or the
    name of a timm model with weights on this machine or the hub. `attention` overrides the backend chosen by
    device and dtype. `activation` is exact GELU or its tanh approximation (M3AE). `separate_qkv` draws the initial
    query, key and value maps apart (MultiMAE) or as one (MAE).
    """

    type: Literal["vit"] = "vit"
    name: str | None = None
    dim: PositiveInt = 768
    depth: PositiveInt = 12
    heads: PositiveInt = 12
    mlp_ratio: PositiveFloat = 4.0
    activation: Activation = "gelu"
    final_norm: bool = True
    drop_path: Annotated[float, Setting(ge=0, lt=1)] = 0.0
    checkpointing: bool = False
    init: str | None = None
    attention: Literal["auto", "xformers", "varlen", "sdpa", "softmax"] = "auto"
    separate_qkv: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> ViT:
        fields = type(self).model_fields
        given = [name for name in SIZES if getattr(self, name) != fields[name].default]
        if self.name is not None and given:
            raise ValueError(
                f"name: {self.name!r} already fixes {', '.join(sorted(given))}; give the name or the numbers"
            )
        if self.name is None and self.dim % self.heads:
            raise ValueError(f"heads: {self.heads} does not divide dim {self.dim}")
        return self

    def build(self) -> Trunk:  # noqa: D102
        from maetoolkit.model.trunk import build_trunk

        return build_trunk(self)
