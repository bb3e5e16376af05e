"""Finds M3AE's golden files and builds the model and the batches they describe, every size from their JSON."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import torch
from einops import rearrange
from maetoolkit_text import Text
from maetoolkit_text.published import load_m3ae
from safetensors.torch import load_file
from torch import Tensor

from maetoolkit.masking import MaskPlan, Share
from maetoolkit.modalities import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import JointDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.model.objective import WeightedSum
from maetoolkit.tokens import Batch, Field

GIVEN = os.environ.get("MAETOOLKIT_GOLDEN")
FOLDER = Path(GIVEN or Path(__file__).parent / "golden")
SHIPPED = ("m3ae_params", "m3ae_paired", "m3ae_image_only", "m3ae_text_only", "m3ae_units")


def tensors_of(name: str) -> tuple[dict, dict[str, Tensor]]:
    """Description and tensors of one file; a skip where a folder that was given has none, never for what is shipped."""
    file = FOLDER / f"{name}.safetensors"
    if not file.exists():
        if GIVEN is None:
            pytest.fail(f"{name} is not in {FOLDER}, but belongs to the files shipped there")
        pytest.skip(f"{name} is not in {FOLDER}")
    return json.loads(file.with_suffix(".json").read_text()), load_file(file)


@dataclass(frozen=True)
class Case:
    """One mode of the published model: `paired`, `image` (only) or `text` (only)."""

    mode: str

    @cached_property
    def file(self) -> tuple[dict, dict[str, Tensor]]:
        return tensors_of({"paired": "m3ae_paired", "image": "m3ae_image_only", "text": "m3ae_text_only"}[self.mode])

    @property
    def config(self) -> dict:
        return self.file[0]["config"]

    @property
    def tensors(self) -> dict[str, Tensor]:
        return self.file[1]

    def get(self, what: str) -> Tensor:
        """The tensor `<mode>.<what>`."""
        return self.tensors[f"{self.mode}.{what}"]

    @property
    def weights(self) -> dict[str, float]:
        image, text, _ = self.config["weights"][0]
        return {"rgb": image, "text": text}

    @property
    def entries(self) -> tuple[str, ...]:
        return {"paired": ("rgb", "text"), "image": ("rgb",), "text": ("text",)}[self.mode]

    def text_field(self, prefix: str = "") -> Field:
        present = self.tensors[f"{prefix}text_padding_mask"] == 0
        return Field(self.tensors[f"{prefix}text"].long(), present)

    def fields(self) -> dict[str, Field]:
        fields = {}
        if "rgb" in self.entries:
            side = self.config["image_size"] // self.config["patch_size"]
            order = "b (gh gw) (h w c) -> b c (gh h) (gw w)"
            size = self.config["patch_size"]
            pixels = rearrange(self.tensors["image_patches"], order, gh=side, gw=side, h=size, w=size)
            fields["rgb"] = Field.of(pixels)
        if "text" in self.entries:
            fields["text"] = self.text_field()
        return fields

    def hidden(self) -> dict[str, Tensor]:
        """bool (B, N): what the published mask hides, padding or not."""
        found = {"rgb": "image_mask", "text": "text_mask"}
        return {name: self.get(found[name]).bool() for name in self.entries}

    def batch(self, every: bool = False) -> Batch:
        """The batch with its plan; `every` predicts all tokens that are there."""
        fields = self.fields()
        return planned(fields, self.hidden(), every)


def planned(fields: dict[str, Field], hidden: dict[str, Tensor], every: bool = False) -> Batch:
    """Fields with the plan that a published mask means: padding is neither visible nor a target."""
    num, visible, target = len(next(iter(fields.values()))), {}, {}
    for name, length in lengths().items():
        if name in fields:
            there = fields[name].present
            present = there if there.ndim == 2 else there[:, None].expand(-1, length)
            visible[name], target[name] = present & ~hidden[name], present & (hidden[name] | every)
        else:
            visible[name] = target[name] = torch.zeros(num, length, dtype=torch.bool)
    return Batch(fields, tuple(map(str, range(num))), plan=MaskPlan(visible, target))


def lengths() -> dict[str, int]:
    """Tokens of each entry at its declared size."""
    config = tensors_of("m3ae_params")[0]["config"]
    return {"rgb": config["L"], "text": config["T"]}


def modalities(config: dict) -> ModalitySet:
    """The entries of the published model; pixels come as the model sees them."""
    given = {"mean": (0.0,), "std": (1.0,)}
    return ModalitySet(
        rgb=RGB(size=config["image_size"], patch=config["patch_size"], position_order="column_first", **given),
        text=Text(vocab_size=config["vocab"], max_length=config["text_len"]),
    )


def m3ae(weights: dict[str, float] | None = None) -> MaskedAutoencoder:
    """The published model with the golden parameters."""
    document, parameters = tensors_of("m3ae_params")
    config = document["config"]
    model = MaskedAutoencoder(
        modalities(config),
        ViT(
            dim=config["emb_dim"],
            depth=config["depth"],
            heads=config["num_heads"],
            mlp_ratio=config["mlp_ratio"],
            activation="gelu_tanh",
            modality_embedding=config["use_type_embedding"],
            separate_qkv=False,
        ),
        JointDecoder(
            dim=config["dec_emb_dim"],
            depth=config["dec_depth"],
            heads=config["dec_num_heads"],
            mlp_ratio=config["mlp_ratio"],
            activation="gelu_tanh",
            mask_token="per_modality",
            modality_embedding=config["use_type_embedding"],
        ),
        masking=Share(),
        objective=WeightedSum(reduction="per_sample_all", weights=weights or {}),
    )
    load_m3ae(model, parameters)
    return model
