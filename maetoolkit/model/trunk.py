"""Trunk: the blocks of a timm ViT on packed tokens. Axes: B samples, T tokens, L layers, D width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Float
from timm.layers import Attention, PatchEmbed, calculate_drop_path_rates
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from maetoolkit.errors import ConfigError
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
        self.activation = settings.activation
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

    Raises ConfigError for a timm name that is unknown, is no `VisionTransformer`, or has other blocks or patches.
    """
    vit = _named(settings) if settings.name else _sized(settings)
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
        final_norm=settings.final_norm,
        weight_init="skip",
        norm_layer=LayerNorm,
        block_fn=PackedBlock,
        act_layer=settings.activation,
        attn_layer=PackedAttention,
    )


def _named(settings: ViT) -> VisionTransformer:
    """timm's model with its blocks on packed tokens; what is not a plain ViT in timm's own hands is refused."""
    import timm

    name = str(settings.name)
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0].removeprefix('vit_')}*")[:3] or timm.list_models("vit_base*")[:3]
        raise ConfigError(f"encoder.name: timm has no model {name!r}; near ones are {', '.join(near)}")
    norms: dict[str, Any] = {"final_norm": settings.final_norm, "fc_norm": False}  # one norm, on every token
    packed: dict[str, Any] = {"block_fn": PackedBlock, "attn_layer": PackedAttention, "weight_init": "skip"}
    try:
        with torch.device("meta"):
            found = _not_plain(timm.create_model(name, pretrained=False, num_classes=0))
        vit = None if found else timm.create_model(name, pretrained=False, num_classes=0, **norms, **packed)
    except Exception as error:
        found, vit = str(error), None
    if vit is None:
        raise ConfigError(
            f"encoder.name: {name!r} is not a plain timm VisionTransformer ({found}); "
            "use a vit_* model of plain blocks and patches, such as vit_small_patch16_224"
        )
    return cast("VisionTransformer", vit)


def _not_plain(model: nn.Module) -> str | None:
    """The first part of timm's model that a Trunk or a patch projection cannot stand for."""
    if type(model) is not VisionTransformer:
        return f"it is a {type(model).__name__}"
    if type(model.patch_embed) is not PatchEmbed:
        return f"its patches go through {type(model.patch_embed).__name__}"
    if not isinstance(model.patch_embed.norm, nn.Identity):
        return f"its patches go through {type(model.patch_embed.norm).__name__}"
    for block in model.blocks:
        if type(block) is not Block:
            return f"its blocks are {type(block).__name__}"
        if type(block.attn) is not Attention:
            return f"its attention is {type(block.attn).__name__}"
    return None
