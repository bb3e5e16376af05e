"""Cross decoders (MultiMAE, section 3.2). Axes: T latent tokens, Q query tokens, D encoder and d decoder width."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maetoolkit.layers.block import CrossAttention, LayerNorm, build_block, build_mlp, run_blocks
from maetoolkit.layers.initialise import initialise_, token
from maetoolkit.masking.route import Route, Stack
from maetoolkit.modality import ModalitySet
from maetoolkit.model.decoder import CrossDecoder
from maetoolkit.model.positions import positions_of
from maetoolkit.tokens import Packed, Patches


class CrossDecoders(nn.Module):
    """One independent decoder per output; the cost is linear in their number and the encoder's is constant."""

    def __init__(self, settings: CrossDecoder, modalities: ModalitySet, encoder_dim: int) -> None:
        super().__init__()
        self.dim, self.fp32 = settings.dim, frozenset(settings.fp32)
        self.outputs = nn.ModuleDict(
            {name: CrossDecoderStack(settings, modalities, encoder_dim, name) for name in modalities.outputs}
        )

    def forward(self, latent: Packed, patches: Mapping[str, Patches], route: Route) -> dict[str, Float[Tensor, "Q d"]]:
        """Features of the target tokens of every output."""
        features = {}
        for name, decoder in self.outputs.items():
            device = latent.x.device.type
            with torch.autocast(device, enabled=name not in self.fp32 and torch.is_autocast_enabled(device)):
                packed = latent.replace(latent.x.float()) if name in self.fp32 else latent
                features[name] = decoder(packed, patches, route, route.stacks[name])
        return features


class CrossDecoderStack(nn.Module):
    """Queries are the whole token grid of one output: its visible tokens, and a mask token elsewhere.

    The cross-attention has no residual from the queries; global tokens are context without position or embedding.
    """

    def __init__(self, settings: CrossDecoder, modalities: ModalitySet, encoder_dim: int, name: str) -> None:
        super().__init__()
        dim, self.name, self.field = settings.dim, name, modalities.source(name)
        self.inputs = modalities.inputs
        self.project = nn.Linear(encoder_dim, dim)
        self.mask_token = token(dim, std=0)
        self.embeddings = nn.ParameterDict({n: token(dim) for n in self.inputs})
        self.positions = nn.ModuleDict(
            {n: modalities[n].build_position(dim, "decoder") for n in dict.fromkeys((*self.inputs, self.field))}
        )
        self.query_norm, self.context_norm, self.out_norm = LayerNorm(dim), LayerNorm(dim), LayerNorm(dim)
        self.attention = CrossAttention(dim, settings.heads)
        self.mlp = build_mlp(dim, settings.mlp_ratio, settings.activation)
        self.blocks = nn.ModuleList(
            build_block(dim, settings.heads, settings.mlp_ratio, settings.activation) for _ in range(settings.depth)
        )
        for module in (self.project, self.attention, self.mlp, self.blocks):
            initialise_(module, separate_qkv=True)

    def forward(
        self, latent: Packed, patches: Mapping[str, Patches], route: Route, stack: Stack
    ) -> Float[Tensor, "T d"]:
        """Features of this output's target tokens."""
        projected = self.project(latent.x)
        context = projected + self._places(patches, route, projected)
        if stack.context is not None:
            context = context.index_select(0, stack.context)
        query = self.query_norm(self._queries(projected, patches, stack))
        x = self.attention(query, self.context_norm(context), stack.segments, stack.context_segments)
        x = x + self.mlp(self.out_norm(x))
        return run_blocks(self.blocks, x, stack.segments, stack.scored)  # one output: all that is scored is its own

    def _places(self, patches: Mapping[str, Patches], route: Route, like: Tensor) -> Float[Tensor, "T d"]:
        """Position and modality embedding of every latent token; zero for global tokens."""
        parts = [like.new_zeros(len(route.globals), like.shape[1], dtype=torch.float32)]
        for name in self.inputs:
            place = positions_of(self.positions[name], patches[name], route.kept[name])
            parts.append(place + self.embeddings[name])
        return torch.cat(parts).index_select(0, route.order)

    def _queries(self, projected: Tensor, patches: Mapping[str, Patches], stack: Stack) -> Float[Tensor, "Q d"]:
        index, field = stack.tokens[self.field], self.field
        seen = projected.index_select(0, stack.latent[field]).float()
        tokens = self.mask_token.expand(len(index), -1).index_copy(0, stack.seen[field], seen)
        tokens = tokens + positions_of(self.positions[field], patches[field], index)
        return tokens + self.embeddings[field] if field in self.embeddings else tokens
