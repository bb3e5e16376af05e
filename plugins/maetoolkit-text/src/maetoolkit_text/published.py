"""Parameters of the published M3AE, read and written back identically. Axes: D encoder, d decoder width, V vocabulary.

Only names and layouts are known here, which are facts of the published checkpoints: flax names joined by `/`, matrices
[in, out], pixels of a patch in the order (row, column, channel).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange

from maetoolkit_text.text import Text

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.model.autoencoder import MaskedAutoencoder

ROOT = "params/"
OURS_TO_M3AE = (  # {kind} is image or text
    (r"encoder\.global_tokens", r"cls_token"),
    (r"embeddings\.{entry}", r"encoder_{kind}_type_embedding"),
    (r"decoder\.embeddings\.{entry}", r"decoder_{kind}_type_embedding"),
    (r"decoder\.mask_tokens\.{entry}", r"{kind}_mask_embedding"),
    (r"(encoder|decoder)\.blocks\.(\d+)\.attn\.qkv\.(\w+)", r"\1/Block_\2/Attention_0/Dense_0/\3"),
    (r"(encoder|decoder)\.blocks\.(\d+)\.attn\.proj\.(\w+)", r"\1/Block_\2/Attention_0/Dense_1/\3"),
    (r"(encoder|decoder)\.blocks\.(\d+)\.norm1\.(\w+)", r"\1/Block_\2/LayerNorm_0/\3"),
    (r"(encoder|decoder)\.blocks\.(\d+)\.norm2\.(\w+)", r"\1/Block_\2/LayerNorm_1/\3"),
    (r"(encoder|decoder)\.blocks\.(\d+)\.mlp\.(fc\d)\.(\w+)", r"\1/Block_\2/TransformerMLP_0/\3/\4"),
    (r"(encoder|decoder)\.norm\.(\w+)", r"\1/LayerNorm_0/\2"),
    (r"decoder\.project\.(\w+)", r"decoder_input_projection/\1"),
    (r"tokenizers\.{entry}\.embedding\.weight", r"{kind}_embedding/embedding"),
    (r"tokenizers\.{entry}\.proj\.(\w+)", r"{kind}_embedding/\1"),
    (r"heads\.{entry}\.proj\.(\w+)", r"decoder_{kind}_output/Dense_0/\1"),
)


def load_m3ae(model: MaskedAutoencoder, parameters: Mapping[str, np.ndarray | Tensor]) -> None:
    """Load published parameters into a model of one image and one text entry (joint decoder, embeddings on both sides).

    `parameters`: flax names joined by `/`, with or without `params/` in front. Position tables are not among them.
    Raises ValueError naming parameters that are missing, left over, or of another shape.
    """
    given = {name.removeprefix(ROOT): value for name, value in parameters.items()}
    known, loaded, problems = m3ae_names(model), dict(model.state_dict()), []
    for name, published in known.items():
        if published not in given:
            problems.append(f"missing {published}")
            continue
        value = from_m3ae(model, name, torch.as_tensor(given[published]))
        if value.shape != loaded[name].shape:
            shapes = f"expected {tuple(loaded[name].shape)} as {name}, found {tuple(value.shape)}"
            problems.append(f"{published}: {shapes}")
        loaded[name] = value
    left = [name for name in loaded if name not in known and not re.fullmatch(r"calls|.*\.table", name)]
    problems += [f"{name} has no counterpart" for name in left]
    problems += [f"left over {name}" for name in sorted(set(given) - set(known.values()))]
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise ValueError(f"these parameters do not fit the model: {shown}. Build it as the recipes m3ae-vit-* do")
    model.load_state_dict(loaded)


def save_m3ae(model: MaskedAutoencoder) -> dict[str, np.ndarray]:
    """The model's weights under the published names and layouts."""
    state = model.state_dict()
    return {
        ROOT + published: to_m3ae(model, name, state[name]).numpy(force=True)
        for name, published in m3ae_names(model).items()
    }


def m3ae_names(model: MaskedAutoencoder) -> dict[str, str]:
    """Our names -> the published ones without `params/`. Raises ValueError where the entries are not image and text."""
    kinds = _kinds(model)
    found = {}
    for name in model.state_dict():
        for ours, theirs in OURS_TO_M3AE:
            for entry, kind in kinds.items():
                if match := re.fullmatch(ours.replace("{entry}", re.escape(entry)), name):
                    leaf = match.expand(theirs.replace("{kind}", kind))
                    found[name] = _leaf(name, leaf)
    return found


def from_m3ae(model: MaskedAutoencoder, name: str, value: Tensor) -> Tensor:
    """A published parameter in our layout."""
    if name == "encoder.global_tokens":
        return value
    if "_token" in name or "embeddings." in name:
        return value.flatten()
    if name.endswith("weight") and value.ndim == 2 and ".embedding." not in name:
        value = value.T
    if (content := _pixels(model, name)) is not None and (axis := _pixel_axis(name)) is not None:
        channels, height, width = content
        order = "(h w c) ... -> (c h w) ..." if axis == 0 else "d (h w c) -> d (c h w)"
        value = rearrange(value, order, c=channels, h=height, w=width)
    return value.contiguous()


def to_m3ae(model: MaskedAutoencoder, name: str, value: Tensor) -> Tensor:
    """One of our parameters, or its gradient, in the published layout."""
    if name == "encoder.global_tokens":
        return value
    if "_token" in name or "embeddings." in name:
        return value.view(1, 1, -1)
    if (content := _pixels(model, name)) is not None and (axis := _pixel_axis(name)) is not None:
        channels, height, width = content
        order = "(c h w) ... -> (h w c) ..." if axis == 0 else "d (c h w) -> d (h w c)"
        value = rearrange(value, order, c=channels, h=height, w=width)
    if name.endswith("weight") and value.ndim == 2 and ".embedding." not in name:
        value = value.T
    return value.contiguous()


def _leaf(name: str, published: str) -> str:
    """flax calls a matrix kernel and a norm's weight scale."""
    if not published.endswith("/weight"):
        return published
    return published.removesuffix("weight") + ("scale" if "norm" in name else "kernel")


def _kinds(model: MaskedAutoencoder) -> dict[str, str]:
    entries = {name: model.modalities[name] for name in model.modalities.fields}
    kinds = {name: "text" if isinstance(entry, Text) else "image" for name, entry in entries.items()}
    pixels = [len(entry.content) for name, entry in entries.items() if kinds[name] == "image"]
    if sorted(kinds.values()) != ["image", "text"] or pixels != [3]:
        found = ", ".join(f"{name} ({getattr(entry, 'type', '?')})" for name, entry in entries.items())
        raise ValueError(f"the published M3AE has one image and one text entry; found {found}")
    return kinds


def _pixels(model: MaskedAutoencoder, name: str) -> Any:
    """Channels, rows and columns of a patch, for parameters of the image's projection and head."""
    room, _, rest = name.partition(".")
    entry = rest.partition(".")[0]
    of_image = room in ("tokenizers", "heads") and _kinds(model)[entry] == "image"
    return model.modalities[entry].content if of_image else None


def _pixel_axis(name: str) -> int | None:
    """Which axis of our parameter runs over pixels."""
    if name.startswith("heads."):
        return 0
    return 1 if name.endswith("weight") else None
