"""Starting an encoder from weights that exist: timm's, MAE's and MultiMAE's layouts, by name or safetensors file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from maetoolkit.errors import ConfigError
from maetoolkit.layers.position import GridPosition, resize_table
from maetoolkit.layers.projection import PatchProjection

if TYPE_CHECKING:
    from maetoolkit.model.autoencoder import MaskedAutoencoder


def initialise_from(model: MaskedAutoencoder, source: str) -> list[str]:
    """Load what `source` has of an encoder: blocks, norm, global tokens, projections and learned positions that fit.

    `source` is a safetensors file or the name of a timm model with weights. Returns the names of what was loaded.
    Raises ConfigError where the file is missing or its blocks have other sizes.
    """
    return load_encoder(model, read_state(source), source)


def load_encoder(
    model: MaskedAutoencoder, published: Mapping[str, Tensor], source: str = "the state dict"
) -> list[str]:
    """`initialise_from` for tensors at hand; a position of the class token, where there is one, goes into the token."""
    state = as_timm(published)
    own = dict(model.encoder.named_parameters())
    wanted = {name: state[name] for name in own if name in state}
    if "cls_token" in state:
        wanted["global_tokens"] = _global_tokens(state)
    missing = [name for name in own if name not in wanted and name.startswith("blocks.")]
    wrong = [n for n, value in wanted.items() if value.shape != own[n].shape and n != "global_tokens"]
    if missing or wrong:
        example = (
            missing[0] if missing else f"{wrong[0]} {tuple(own[wrong[0]].shape)}, found {tuple(wanted[wrong[0]].shape)}"
        )
        raise ConfigError(
            f"encoder.init: {source!r} does not fit this encoder: expected {example}; use its dim, depth and heads"
        )
    loaded = []
    for name, value in wanted.items():
        if value.shape == own[name].shape:
            own[name].data.copy_(value)
            loaded.append(f"encoder.{name}")
    return loaded + _projections(model, state)


def read_state(source: str) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of a timm model's own weights."""
    if Path(source).suffix == ".safetensors":
        from safetensors.torch import load_file

        if not Path(source).is_file():
            raise ConfigError(f"encoder.init: expected a safetensors file, found nothing at {source}")
        return load_file(source)
    import timm

    if not timm.is_model(source.split(".")[0]):
        raise ConfigError(
            f"encoder.init: {source!r} is neither a .safetensors file nor a timm model; see timm.list_models()"
        )
    try:
        return dict(timm.create_model(source, pretrained=True, num_classes=0).state_dict())
    except Exception as error:
        raise ConfigError(
            f"encoder.init: the weights of timm model {source!r} cannot be had ({error}); use a file"
        ) from error


def as_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names as timm has them, whichever of the known layouts the state dict is in."""
    renamed = {}
    for name, value in state.items():
        name = re.sub(r"^encoder\.(\d+)\.", r"blocks.\1.", name.removeprefix("module."))
        if name == "global_tokens":
            name, value = "cls_token", value
        renamed[name] = value
    return renamed


def _global_tokens(state: Mapping[str, Tensor]) -> Tensor:
    tokens = state["cls_token"]
    positions = state.get("pos_embed")
    num_cells = 0 if positions is None else positions.shape[1]
    has_class_row = positions is not None and round(num_cells**0.5) ** 2 != num_cells
    return tokens + positions[:, : tokens.shape[1]] if positions is not None and has_class_row else tokens


def _projections(model: MaskedAutoencoder, state: Mapping[str, Tensor]) -> list[str]:
    loaded = []
    for name, tokenizer in model.tokenizers.items():
        projection = (
            f"input_adapters.{name}.proj" if f"input_adapters.{name}.proj.weight" in state else "patch_embed.proj"
        )
        weight = state.get(f"{projection}.weight")
        if not isinstance(tokenizer, PatchProjection) or weight is None:
            continue
        if weight.shape[1:] != model.modalities[name].content:
            continue
        tokenizer.proj.weight.data.copy_(weight.flatten(1))
        tokenizer.proj.bias.data.copy_(state[f"{projection}.bias"])
        loaded.append(f"tokenizers.{name}")
        position, table = model.positions[name], state.get("pos_embed")
        if isinstance(position, GridPosition) and isinstance(position.table, nn.Parameter) and table is not None:
            side = int(table.shape[1] ** 0.5)
            cells = table[0, -side * side :]
            position.table.data.copy_(resize_table(cells, (side, side), position.grid, "bicubic"))
            loaded.append(f"positions.{name}")
    return loaded
