"""timm's transformer block on packed tokens. Axes: T tokens, D width."""

from __future__ import annotations

from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float, Int
from timm.layers import Attention, Mlp, get_act_layer
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from maetoolkit.layers.attention import Backend, attend, attention_weights
from maetoolkit.tokens import Segments

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


class PackedAttention(Attention):
    """timm's self-attention, with its weights and names, on a flat token axis."""

    backend: Backend = "auto"

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "T D"], segments: Segments, rows: Int[Tensor, "R"] | None = None
    ) -> Float[Tensor, "R D"]:
        """Attend within samples; the result is projected for `rows` only, where they are given."""
        q, k, v = self.project(x)
        mixed = attend(q, k, v, segments, segments, self.backend).flatten(1)
        if rows is not None:
            mixed, x = mixed.index_select(0, rows), x.index_select(0, rows)
        mixed = self.norm(mixed)
        if self.gate is not None:
            mixed = mixed * self.gate(x).sigmoid()
        return self.proj_drop(self.proj(mixed))

    def project(self, x: Float[Tensor, "T D"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (T, heads, head width)."""
        q, k, v = rearrange(self.qkv(x), "t (three h c) -> three t h c", three=3, h=self.num_heads)
        return self.q_norm(q), self.k_norm(k), v

    def weights(self, x: Float[Tensor, "T D"], segments: Segments) -> list[Tensor]:
        """Attention weights per sample, for figures."""
        q, k, _ = self.project(x)
        return attention_weights(q, k, segments, segments)


class PackedBlock(Block):
    """timm's pre-norm block, with its weights and names, on a flat token axis.

    `keep` (T, 2) scales the two branches per token: stochastic depth drops whole samples, and the draw is keyed,
    which timm's own DropPath (along the leading axis, by global state) cannot do here.
    """

    def forward(  # type: ignore[override]
        self,
        x: Float[Tensor, "T D"],
        segments: Segments,
        keep: Float[Tensor, "T 2"] | None = None,
        rows: Int[Tensor, "R"] | None = None,
    ) -> Float[Tensor, "R D"]:
        """One layer; for `rows` only, where they are given (a last layer of which not all is needed)."""
        attended = self.ls1(self.attn(self.norm1(x), segments, rows))
        if rows is not None:
            x = x.index_select(0, rows)
        x = x + (attended if keep is None else attended * keep[:, :1])
        expanded = self.ls2(self.mlp(self.norm2(x)))
        return x + (expanded if keep is None else expanded * keep[:, 1:])


def run_blocks(
    blocks: nn.ModuleList, x: Float[Tensor, "T D"], segments: Segments, rows: Int[Tensor, "R"]
) -> Float[Tensor, "R D"]:
    """All blocks, the last one for `rows` only: what nobody asks for is not computed."""
    for block in list(blocks)[:-1]:
        x = block(x, segments)
    return blocks[-1](x, segments, rows=rows) if len(blocks) else x.index_select(0, rows)


def build_block(dim: int, heads: int, mlp_ratio: float = 4.0, activation: str = "gelu") -> PackedBlock:
    """A block as in ViT: qkv bias, LayerNorm eps 1e-6, GELU exact or by its tanh approximation (timm's names)."""
    return PackedBlock(
        dim,
        heads,
        mlp_ratio,
        qkv_bias=True,
        norm_layer=LayerNorm,  # type: ignore[arg-type]
        act_layer=get_act_layer(activation),
        attn_layer=PackedAttention,
    )


class CrossAttention(nn.Module):
    """Attention from one packed sequence to another (MultiMAE, section 3.2)."""

    backend: Backend = "auto"

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, "T D"], context: Float[Tensor, "S D"], queries: Segments, keys: Segments
    ) -> Float[Tensor, "T D"]:
        """Attend from `x` to `context`, within samples."""
        q = rearrange(self.q(x), "t (h c) -> t h c", h=self.heads)
        k, v = rearrange(self.kv(context), "s (two h c) -> two s h c", two=2, h=self.heads)
        return self.proj(attend(q, k, v, queries, keys, self.backend).flatten(1))


def build_mlp(dim: int, mlp_ratio: float = 4.0, activation: str = "gelu") -> nn.Module:
    """The block's two-layer perceptron on its own."""
    return Mlp(dim, int(dim * mlp_ratio), act_layer=get_act_layer(activation))


def expand_to_tokens(values: Float[Tensor, "B ..."], segments: Segments) -> Float[Tensor, "T ..."]:
    """Repeat one value per sample for each of its tokens; the sizes are known on the host."""
    lengths = torch.tensor(segments.lengths, device=values.device)
    return values.repeat_interleave(lengths, dim=0, output_size=segments.total)
