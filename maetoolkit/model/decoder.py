"""Decoders: from the latent to features at target tokens; their descriptions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from maetoolkit.description import Description

if TYPE_CHECKING:
    from torch import nn

    from maetoolkit.masking.sampler import Masking
    from maetoolkit.modality import ModalitySet

Activation = Literal["gelu", "gelu_tanh"]


class DecoderDescription(Description, ABC):
    """Settings of a decoder of one kind.

    `with_globals`: its own sequence holds the global tokens and all inputs (joint), rather than attending to them.
    """

    with_globals: ClassVar[bool] = False

    def check_masking(self, modalities: ModalitySet, masking: Masking) -> None:
        """Raise ValueError where this decoder cannot predict what such a masking hides."""

    @abstractmethod
    def stacks(self, outputs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """Which decoder stack serves which outputs."""

    @abstractmethod
    def build(self, modalities: ModalitySet, encoder_dim: int) -> nn.Module:
        """Module: (latent, patches, route) -> {output: features (T, dim) of its target tokens}; it has `dim`."""


class TransformerDecoder(DecoderDescription, ABC):
    """Settings of a decoder of transformer blocks; `activation` is exact GELU or its tanh approximation."""

    dim: PositiveInt = 256
    depth: PositiveInt = 2
    heads: PositiveInt = 8
    mlp_ratio: PositiveFloat = 4.0
    activation: Activation = "gelu"

    @model_validator(mode="after")
    def _heads_divide(self) -> TransformerDecoder:
        if self.dim % self.heads:
            raise ValueError(f"heads: {self.heads} does not divide dim {self.dim}")
        return self


class CrossDecoder(TransformerDecoder):
    """One small decoder per output: cross-attention to the latent, an MLP, then blocks (MultiMAE, section 3.2).

    `fp32` names outputs whose decoder runs in full precision under mixed precision.
    """

    type: Literal["cross"] = "cross"
    fp32: tuple[str, ...] = ()

    def stacks(self, outputs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:  # noqa: D102
        return {name: (name,) for name in outputs}

    def build(self, modalities: ModalitySet, encoder_dim: int) -> nn.Module:  # noqa: D102
        from maetoolkit.model.cross import CrossDecoders

        return CrossDecoders(self, modalities, encoder_dim)


class JointDecoder(TransformerDecoder):
    """One decoder over the tokens of all modalities, visible and masked (MAE, section 3; M3AE, section 3).

    `modality_embedding` adds a learned embedding per modality (None: where there is more than one);
    `mask_token` is shared by all modalities, or there is one each (the M3AE release).
    """

    type: Literal["joint"] = "joint"
    dim: PositiveInt = 512
    depth: PositiveInt = 8
    heads: PositiveInt = 16
    modality_embedding: bool | None = None
    mask_token: Literal["shared", "per_modality"] = "shared"

    with_globals: ClassVar[bool] = True

    def stacks(self, outputs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:  # noqa: D102
        return {"joint": outputs}

    def build(self, modalities: ModalitySet, encoder_dim: int) -> nn.Module:  # noqa: D102
        from maetoolkit.model.joint import JointDecoderStack

        return JointDecoderStack(self, modalities, encoder_dim)


class LinearDecoder(DecoderDescription):
    """No decoder at all: heads on the encoder's own tokens (SimMIM, section 3.4; BERT).

    It predicts only tokens that the encoder holds: visible ones, or masked ones with `masking.in_place`.
    """

    type: Literal["linear"] = "linear"

    def check_masking(self, modalities: ModalitySet, masking: Masking) -> None:  # noqa: D102
        for name, source in modalities.sources.items():
            if source not in modalities.inputs:
                raise ValueError(
                    f"a linear decoder has only the encoder's tokens, and {name!r} is not given to the encoder; "
                    "use a cross or joint decoder"
                )
            if (modalities[name].score or masking.score) != "visible" and not masking.holds(source):
                raise ValueError(
                    f"a linear decoder has only the encoder's tokens, and this masking drops the hidden ones of "
                    f"{name!r}; set masking.in_place=true, or use a cross or joint decoder"
                )

    def stacks(self, outputs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:  # noqa: D102
        return {name: (name,) for name in outputs}

    def build(self, modalities: ModalitySet, encoder_dim: int) -> nn.Module:  # noqa: D102
        from maetoolkit.model.linear import EncoderTokens

        return EncoderTokens(modalities, encoder_dim)
