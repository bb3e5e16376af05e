"""Trunk: the blocks of a timm ViT on packed tokens. Axes: B samples, T tokens, L layers, D width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from timm.layers import calculate_drop_path_rates
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from maetoolkit.layers.block import LayerNorm, PackedAttention, PackedBlock, expand_to_tokens
from maetoolkit.layers.initialise import initialise_, token
from maetoolkit.tokens import Packed

if TYPE_CHECKING:
    from maetoolkit.model.encoder import ViT
    from maetoolkit.randomness import Draw


class Trunk(nn.Module):
    """Pre-norm, blocks and final norm of a ViT under timm's names, and the learned global tokens (1, G, D)."""

    def __init__(self, vit: VisionTransformer, settings: ViT) -> None:
        super().__init__()
        self.dim, self.checkpointing, self.architecture = vit.embed_dim, settings.checkpointing, settings.name
        self.global_tokens = token(1, settings.num_global_tokens, vit.embed_dim)
        self.norm_pre, self.blocks, self.norm = vit.norm_pre, nn.ModuleList(vit.blocks), vit.norm
        self.drop_rates = (
            tuple(calculate_drop_path_rates(settings.drop_path, len(self.blocks))) if settings.drop_path else ()
        )

    def forward(self, tokens: Packed, keep: Float[Tensor, "B L 2"] | None = None) -> Packed:
        """Encode visible tokens; `keep` scales the branches of every sample and layer (stochastic depth)."""
        return self.layers(tokens, keep)[-1]

    def layers(self, tokens: Packed, keep: Float[Tensor, "B L 2"] | None = None) -> list[Packed]:
        """The tokens after every block; the last one has been through the final norm."""
        x, states = self.norm_pre(tokens.x), []
        scales = None if keep is None else expand_to_tokens(keep, tokens.segments).unbind(1)
        for number, block in enumerate(self.blocks):
            scale = None if scales is None else scales[number]
            if self.checkpointing and self.training:
                x = checkpoint(block, x, tokens.segments, scale, use_reentrant=False)
            else:
                x = block(x, tokens.segments, scale)
            states.append(tokens.replace(x))
        states[-1] = tokens.replace(self.norm(x))
        return states

    def draw_keep(self, draw: Draw, device: torch.device) -> Float[Tensor, "B L 2"] | None:
        """Stochastic depth (Huang et al. 2016): scales 0 or 1/(1-p) per sample and branch, keyed like all else."""
        if not (self.training and self.drop_rates):
            return None
        uniforms = torch.from_numpy(draw.uniform("drop path", 2 * len(self.blocks)))
        rates = torch.tensor(self.drop_rates, dtype=torch.float64)[:, None]
        kept = uniforms.reshape(len(draw), -1, 2) >= rates
        return (kept / (1 - rates)).float().to(device, non_blocking=True)


def build_trunk(settings: ViT) -> Trunk:
    """The trunk that `settings` describe.

    Raises ValueError for a timm name that is unknown, is no `VisionTransformer`, or has blocks of another kind.
    """
    vit = _named(settings.name) if settings.name else _sized(settings)
    if not settings.final_norm:
        vit.norm = nn.Identity()
    elif isinstance(vit.norm, nn.Identity):
        vit.norm = LayerNorm(vit.embed_dim)
    trunk = Trunk(vit, settings)
    initialise_(trunk.blocks, settings.separate_qkv)
    for module in trunk.blocks.modules():
        if isinstance(module, PackedAttention):
            module.backend = settings.attention
    return trunk


def _sized(settings: ViT) -> VisionTransformer:
    return VisionTransformer(
        embed_dim=settings.dim,
        depth=settings.depth,
        num_heads=settings.heads,
        mlp_ratio=settings.mlp_ratio,
        num_classes=0,
        weight_init="skip",
        norm_layer=LayerNorm,
        block_fn=PackedBlock,
        attn_layer=PackedAttention,
    )


def _named(name: str) -> VisionTransformer:
    import timm

    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0].removeprefix('vit_')}*")[:3] or timm.list_models("vit_base*")[:3]
        raise ValueError(f"encoder.name: timm has no model {name!r}; near ones are {', '.join(near)}")
    packed: dict[str, Any] = {"block_fn": PackedBlock, "attn_layer": PackedAttention, "weight_init": "skip"}
    try:
        vit = timm.create_model(name, pretrained=False, num_classes=0, **packed)
    except TypeError as error:
        raise ValueError(
            f"encoder.name: {name!r} is not a plain timm VisionTransformer ({error}); use a vit_* model"
        ) from error
    if not isinstance(vit, VisionTransformer) or any(type(block) is not PackedBlock for block in vit.blocks):
        raise ValueError(f"encoder.name: {name!r} has no plain ViT blocks ({type(vit).__name__}); use a vit_* model")
    return vit
