"""The encoder as a timm vision transformer: `timm.create_model("local-dir:FOLDER")` loads what is written here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from maetoolkit.errors import ConfigError
from maetoolkit.layers.block import PackedBlock
from maetoolkit.layers.position import GridPosition
from maetoolkit.layers.projection import PatchProjection
from maetoolkit.model.autoencoder import MaskedAutoencoder

ARCHITECTURE = "vit_base_patch16_224"  # every size is given in `model_args`; this only names timm's builder


def export_timm(model: MaskedAutoencoder, folder: Path | str, entry: str | None = None) -> Path:
    """Write `model.safetensors` and `config.json` for one input of the encoder (the first image by default).

    timm's features of an image are then those of `model.encode` for that input alone.
    Raises ConfigError where `entry` is no image input, or weights are not finite.
    """
    name = image_input(model, entry)
    state, config = timm_state(model, name), timm_config(model, name)
    broken = [key for key, value in state.items() if not value.isfinite().all()]
    if broken:
        raise ConfigError(f"export: {broken[0]} holds NaN or infinity; export an earlier checkpoint of the run")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: state[key].contiguous() for key in sorted(state)}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder


def image_input(model: MaskedAutoencoder, entry: str | None) -> str:
    """The input to export: the one named, or the first whose patches are projected by one linear map.

    Raises ConfigError naming the inputs that can be exported.
    """
    fitting = [
        name
        for name, tokenizer in model.tokenizers.items()
        if isinstance(tokenizer, PatchProjection)
        and len(model.modalities[name].content) == 3
        and isinstance(position := model.positions[name], GridPosition)
        and len(position.grid) == 2
    ]
    if entry is None and fitting:
        return fitting[0]
    if entry not in fitting:
        raise ConfigError(f"export: expected an image input ({', '.join(fitting) or 'there is none'}), found {entry!r}")
    return entry


def timm_state(model: MaskedAutoencoder, name: str) -> dict[str, Tensor]:
    """The encoder's weights, with the tokenizer and positions of one input, under timm's names.

    timm's projection has no bias before a pre-norm; there ours goes into the positions, to which it is added anyway,
    as a modality embedding always does.
    """
    encoder, content = model.encoder, model.modalities[name].content
    num_globals = encoder.global_tokens.shape[1]
    tokenizer, position = model.tokenizers[name], model.positions[name]
    assert isinstance(tokenizer, PatchProjection)
    assert isinstance(position, GridPosition)
    projection = tokenizer.proj
    cells = position.table + projection.bias if pre_norm(model) else position.table
    cells = cells + model.embeddings[name] if name in model.embeddings else cells
    rows = torch.cat([cells.new_zeros(num_globals, encoder.dim), cells])
    state = {k: v for k, v in encoder.state_dict().items() if k.startswith(("blocks.", "norm.", "norm_pre."))}
    state |= {
        "patch_embed.proj.weight": projection.weight.unflatten(1, content),
        "pos_embed": rows[None],
    }
    if not pre_norm(model):
        state["patch_embed.proj.bias"] = projection.bias
    if num_globals:
        state["cls_token"] = encoder.global_tokens[:, :1]
    if num_globals > 1:
        state["reg_token"] = encoder.global_tokens[:, 1:]
    return {key: value.detach().clone() for key, value in state.items()}


def pre_norm(model: MaskedAutoencoder) -> bool:
    """Whether the encoder normalises its tokens before the first block (CLIP)."""
    return not isinstance(model.encoder.norm_pre, torch.nn.Identity)


def timm_config(model: MaskedAutoencoder, name: str) -> dict[str, Any]:
    """What timm needs to build the same encoder, and how to prepare images for it."""
    modality, encoder = model.modalities[name], model.encoder
    position, block = model.positions[name], encoder.blocks[0]
    assert isinstance(position, GridPosition)
    assert isinstance(block, PackedBlock)
    channels, *cell = modality.content
    size = [cells * pixels for cells, pixels in zip(position.grid, cell, strict=True)]
    num_globals = encoder.global_tokens.shape[1]
    args: dict[str, Any] = {
        "img_size": size,
        "patch_size": cell,
        "in_chans": channels,
        "class_token": num_globals > 0,
        "reg_tokens": max(num_globals - 1, 0),
        "no_embed_class": False,
        "global_pool": "token" if num_globals else "",
        "fc_norm": False,
        "pre_norm": pre_norm(model),
        "final_norm": not isinstance(encoder.norm, torch.nn.Identity),
    }
    if encoder.architecture is None:
        args |= {} if encoder.activation == "gelu" else {"act_layer": encoder.activation}
        hidden = block.mlp.get_parameter("fc1.bias").numel()
        ratio = hidden / encoder.dim
        if int(encoder.dim * ratio) != hidden:  # timm rounds the product down
            ratio = (hidden + 0.5) / encoder.dim
        args |= {
            "embed_dim": encoder.dim,
            "depth": len(encoder.blocks),
            "num_heads": block.attn.num_heads,
            "mlp_ratio": ratio,
        }
    statistics = getattr(modality, "statistics", None)
    mean, std = statistics() if statistics else ((0.0,) * channels, (1.0,) * channels)
    return {
        "architecture": encoder.architecture or ARCHITECTURE,
        "num_classes": 0,
        "num_features": encoder.dim,
        "model_args": args,
        "pretrained_cfg": {"input_size": [channels, *size], "mean": mean, "std": std, "num_classes": 0},
    }
