"""State dicts of the published MAE and MultiMAE models, read and written back identically, decoders included.

Only names and layouts are known here; they are facts of the published checkpoints. Axes: D encoder, d decoder width.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor

from maetoolkit.layers.position import GridPosition
from maetoolkit.model.autoencoder import MaskedAutoencoder

OURS_TO_MULTIMAE = (
    (r"encoder\.global_tokens", r"global_tokens"),
    (r"encoder\.blocks\.(.+)", r"encoder.\1"),
    (r"tokenizers\.(\w+)\.embedding\.weight", r"input_adapters.\1.class_emb.weight"),
    (r"tokenizers\.(\w+)\.(?:proj\.)+(weight|bias)", r"input_adapters.\1.proj.\2"),
    (r"positions\.(\w+)\.table", r"input_adapters.\1.pos_emb"),
    (r"decoder\.outputs\.(\w+)\.positions\.\w+\.table", r"output_adapters.\1.pos_emb"),
    (r"decoder\.outputs\.(\w+)\.mask_token", r"output_adapters.\1.mask_token"),
    (r"decoder\.outputs\.(\w+)\.embeddings\.(\w+)", r"output_adapters.\1.task_embeddings.\2"),
    (r"decoder\.outputs\.(\w+)\.attention\.(.+)", r"output_adapters.\1.decoder.\2"),
    (r"decoder\.outputs\.(\w+)\.project\.(.+)", r"output_adapters.\1.proj_context.\2"),
    (r"decoder\.outputs\.(\w+)\.blocks\.(.+)", r"output_adapters.\1.decoder_transformer.\2"),
    (r"decoder\.outputs\.(\w+)\.((?:query|context|out)_norm|mlp)\.(.+)", r"output_adapters.\1.\2.\3"),
    (r"heads\.(\w+)\.proj\.(.+)", r"output_adapters.\1.out_proj.\2"),
)

OURS_TO_MAE = (
    (r"encoder\.global_tokens", r"cls_token"),
    (r"encoder\.((?:blocks|norm)\..+)", r"\1"),
    (r"tokenizers\.\w+\.proj\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"positions\.\w+\.table", r"pos_embed"),
    (r"decoder\.positions\.\w+\.table", r"decoder_pos_embed"),
    (r"decoder\.mask_tokens\.shared", r"mask_token"),
    (r"decoder\.project\.(.+)", r"decoder_embed.\1"),
    (r"decoder\.blocks\.(.+)", r"decoder_blocks.\1"),
    (r"decoder\.norm\.(.+)", r"decoder_norm.\1"),
    (r"heads\.\w+\.proj\.(.+)", r"decoder_pred.\1"),
)

Names = tuple[tuple[str, str], ...]


def load_multimae(model: MaskedAutoencoder, state: Mapping[str, Tensor]) -> None:
    """Load a published MultiMAE state dict into a model with the same entry names (cross decoder, no final norm).

    Raises ValueError naming parameters that are missing, left over, or of another shape.
    """
    _load(model, state, OURS_TO_MULTIMAE, _from_multimae)


def save_multimae(model: MaskedAutoencoder) -> dict[str, Tensor]:
    """The model's weights under MultiMAE's names and shapes."""
    return _save(model, OURS_TO_MULTIMAE, _to_multimae)


def load_mae(model: MaskedAutoencoder, state: Mapping[str, Tensor]) -> None:
    """Load a published MAE state dict into a model of one input and one output (joint decoder, final norm).

    Raises ValueError naming parameters that are missing, left over, or of another shape.
    """
    _load(model, state, OURS_TO_MAE, _from_mae)


def save_mae(model: MaskedAutoencoder) -> dict[str, Tensor]:
    """The model's weights under MAE's names and shapes."""
    return _save(model, OURS_TO_MAE, _to_mae)


def translate(name: str, names: Names) -> str | None:
    """The published name of one of our parameters; None for what the published models do not have."""
    for ours, theirs in names:
        if match := re.fullmatch(ours, name):
            return match.expand(theirs)
    return None


def _load(model: MaskedAutoencoder, state: Mapping[str, Tensor], names: Names, convert: object) -> None:
    own, unused = model.state_dict(), set(state)
    loaded, problems = {}, []
    for name, value in own.items():
        published = translate(name, names)
        if published is None:
            loaded[name] = value
        elif published not in state:
            problems.append(f"missing {published}")
        else:
            unused.discard(published)
            tensor = convert(model, name, state[published])  # type: ignore[operator]
            if tensor.shape != value.shape:
                problems.append(f"{published}: expected {tuple(value.shape)} as {name}, found {tuple(tensor.shape)}")
            loaded[name] = tensor
    problems += [f"left over {name}" for name in sorted(unused)]
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise ValueError(
            f"the checkpoint does not fit this model: {shown}. Build it with the checkpoint's sizes and entries"
        )
    model.load_state_dict(loaded)


def _save(model: MaskedAutoencoder, names: Names, convert: object) -> dict[str, Tensor]:
    pairs = ((translate(name, names), name, value) for name, value in model.state_dict().items())
    return {published: convert(model, name, value) for published, name, value in pairs if published}  # type: ignore[operator]


def _from_multimae(model: MaskedAutoencoder, name: str, value: Tensor) -> Tensor:
    if name.endswith(".table"):
        return rearrange(value, "1 d ... -> (...) d")
    if name.startswith("tokenizers.") and name.endswith("proj.weight"):
        return value.flatten(1)
    return value.flatten() if "mask_token" in name or ".embeddings." in name else value


def _to_multimae(model: MaskedAutoencoder, name: str, value: Tensor) -> Tensor:
    if name.endswith(".table"):
        grid = _position(model, name).grid
        return rearrange(value, "(h w) d -> 1 d h w", h=grid[0], w=grid[1]).contiguous()
    if name.startswith("tokenizers.") and name.endswith("proj.weight"):
        cell = model.modalities[name.split(".")[1]].content[-2:]
        return value.unflatten(1, (-1, *cell))
    return value.view(1, 1, -1) if "mask_token" in name or ".embeddings." in name else value


def _from_mae(model: MaskedAutoencoder, name: str, value: Tensor) -> Tensor:
    if name.endswith(".table"):
        return value[0, 1:]
    if name.startswith("heads."):
        channels, height, width = _content(model)
        order = "(h w c) ... -> (c h w) ..."
        return rearrange(value, order, c=channels, h=height, w=width)
    if name.startswith("tokenizers.") and name.endswith("weight"):
        return value.flatten(1)
    return value.flatten() if "mask_token" in name else value


def _to_mae(model: MaskedAutoencoder, name: str, value: Tensor) -> Tensor:
    if name.endswith(".table"):
        return torch.cat([value.new_zeros(1, value.shape[1]), value])[None]
    if name.startswith("heads."):
        channels, height, width = _content(model)
        return rearrange(value, "(c h w) ... -> (h w c) ...", c=channels, h=height, w=width).contiguous()
    if name.startswith("tokenizers.") and name.endswith("weight"):
        return value.unflatten(1, _content(model))
    return value.view(1, 1, -1) if "mask_token" in name else value


def _content(model: MaskedAutoencoder) -> tuple[int, ...]:
    return model.modalities[model.modalities.inputs[0]].content


def _position(model: MaskedAutoencoder, name: str) -> GridPosition:
    module = model.get_submodule(name.removesuffix(".table"))
    assert isinstance(module, GridPosition)
    return module
