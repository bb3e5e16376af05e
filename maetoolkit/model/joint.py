"""The joint decoder (MAE, M3AE, section 3). Axes: T latent tokens, S tokens of the sequence, d decoder width."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maetoolkit.layers.block import LayerNorm, build_block, run_blocks
from maetoolkit.layers.initialise import initialise_, token
from maetoolkit.masking.route import Route, Stack
from maetoolkit.modality import ModalitySet
from maetoolkit.model.decoder import JointDecoder
from maetoolkit.model.positions import positions_of
from maetoolkit.tokens import Packed, Patches


class JointDecoderStack(nn.Module):
    """One transformer over global tokens, visible tokens and mask tokens of all modalities."""

    def __init__(self, settings: JointDecoder, modalities: ModalitySet, encoder_dim: int) -> None:
        super().__init__()
        self.dim, self.sources = settings.dim, modalities.sources
        dim = self.dim
        fields = tuple(dict.fromkeys((*modalities.inputs, *self.sources.values())))
        self.project = nn.Linear(encoder_dim, dim)
        one_each = settings.mask_token == "per_modality"
        self.mask_tokens = nn.ParameterDict({name: token(dim) for name in (fields if one_each else ("shared",))})
        embed = len(fields) > 1 if settings.modality_embedding is None else settings.modality_embedding
        self.embeddings = nn.ParameterDict({name: token(dim) for name in fields} if embed else {})
        self.positions = nn.ModuleDict({name: modalities[name].build_position(dim, "decoder") for name in fields})
        self.blocks = nn.ModuleList(
            build_block(dim, settings.heads, settings.mlp_ratio, settings.activation) for _ in range(settings.depth)
        )
        self.norm = LayerNorm(dim)
        for module in (self.project, self.blocks):
            initialise_(module, separate_qkv=False)

    def forward(self, latent: Packed, patches: Mapping[str, Patches], route: Route) -> dict[str, Float[Tensor, "T d"]]:
        """Features of the target tokens of every output."""
        stack = route.stacks["joint"]
        projected = self.project(latent.x)
        parts = [projected.index_select(0, stack.globals).float()]
        parts += [self._sequence(name, projected, patches[name], stack) for name in stack.tokens]
        x = torch.cat(parts)
        x = x if stack.order is None else x.index_select(0, stack.order)
        x = self.norm(run_blocks(self.blocks, x, stack.segments, stack.scored))
        return {name: x.index_select(0, stack.target[name]) for name in self.sources}

    def _sequence(self, name: str, projected: Tensor, patches: Patches, stack: Stack) -> Float[Tensor, "S d"]:
        mask_token = self.mask_tokens[name if name in self.mask_tokens else "shared"]
        seen = projected.index_select(0, stack.latent[name]).float()
        tokens = mask_token.expand(len(stack.tokens[name]), -1).index_copy(0, stack.seen[name], seen)
        tokens = tokens + positions_of(self.positions[name], patches, stack.tokens[name])
        return tokens + self.embeddings[name] if name in self.embeddings else tokens
