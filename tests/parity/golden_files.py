"""Finds golden files by name and builds the model each of them describes, reading every size from its JSON."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from maetoolkit.export.published import load_mae, load_multimae
from maetoolkit.masking import MaskPlan, Share
from maetoolkit.modalities import RGB, Depth, Semantic, StandardizedRGB
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import CrossDecoder, JointDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.model.objective import WeightedSum

GIVEN = os.environ.get("MAETOOLKIT_GOLDEN")
FOLDER = Path(GIVEN or Path(__file__).parent / "golden")
SHIPPED = (
    *("mae_case", "mae_posemb", "mae_weights", "multimae2vit", "multimae_case_a_all3", "multimae_depth_standardize"),
    *("multimae_posemb", "multimae_weights"),
)
PATTERNS = ("mae_*", "multimae*", "dirichlet_*")
AS_GIVEN = {"mean": (0.0,), "std": (1.0,)}


@dataclass(frozen=True)
class Golden:
    """One golden file: its description and tensors."""

    config: dict
    tensors: dict[str, torch.Tensor]

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """Tensors below a prefix, without it."""
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}


def check_folder(folder: Path) -> None:
    """Raise FileNotFoundError where there is nothing to compare with, so that no test would run and none fail."""
    if not folder.is_dir():
        raise FileNotFoundError(f"MAETOOLKIT_GOLDEN: expected a folder of golden files, {folder} does not exist")
    found = [path for pattern in PATTERNS for path in folder.glob(f"{pattern}.safetensors")]
    if not any(path.with_suffix(".json").is_file() for path in found):
        raise FileNotFoundError(f"MAETOOLKIT_GOLDEN: there is no golden file (.safetensors and .json) in {folder}")


if GIVEN is not None:
    check_folder(FOLDER)


def names(pattern: str) -> list[str]:
    """Stems of the golden files that match, in order."""
    return sorted(path.stem for path in FOLDER.glob(f"{pattern}.safetensors"))


def golden(name: str) -> Golden:
    """One file, or a skip that says it is not in this folder; what is shipped must be there."""
    if not (FOLDER / f"{name}.safetensors").exists():
        if GIVEN is None and name in SHIPPED:
            pytest.fail(f"{name} is not in {FOLDER}, but belongs to the files shipped there")
        pytest.skip(f"{name} is not in {FOLDER}")
    document = json.loads((FOLDER / f"{name}.json").read_text())
    return Golden(document.get("config", {}), load_file(FOLDER / f"{name}.safetensors"))


def multimae(config: dict, inputs: list[str] | None = None) -> MaskedAutoencoder:
    """The published MultiMAE of a case; fields come as the model sees them, so nothing is normalised again."""
    given = inputs or config["in_domains"]
    size, patch = config["image_size"], config["patch_size"]

    def role(name: str) -> str:
        if name not in given:
            return "target"
        return "both" if name in config["out_domains"] else "input"

    known = {
        "rgb": lambda: RGB(size=size, patch=patch, role=role("rgb"), **AS_GIVEN),
        "depth": lambda: Depth(size=size, patch=patch, role=role("depth"), standardize=None, invalid=None),
        "semseg": lambda: Semantic(
            size=size,
            patch=patch,
            stride=config["semseg_stride"],
            num_classes=config["num_classes"],
            class_dim=config["dim_class_emb"],
            void=None,
            role=role("semseg"),
        ),
        "norm_rgb": lambda: StandardizedRGB(of="rgb"),
    }
    entries = list(dict.fromkeys((*config["in_domains"], *config["out_domains"])))
    return MaskedAutoencoder(
        ModalitySet(**{name: known[name]() for name in entries}),
        ViT(
            dim=config["dim_tokens"],
            depth=config["depth"],
            heads=config["num_heads"],
            mlp_ratio=config["mlp_ratio"],
            num_global_tokens=config["num_global_tokens"],
            final_norm=False,
        ),
        CrossDecoder(
            dim=config["decoder_dim"],
            depth=config["decoder_depth"],
            heads=config["decoder_num_heads"],
            mlp_ratio=config["mlp_ratio"],
        ),
        masking=Share(),
    )


def loaded_multimae(
    config: dict, removed: list[str] | None = None, inputs: list[str] | None = None
) -> MaskedAutoencoder:
    """The published model with the golden weights, without the parameters that a case removed."""
    model = multimae(config, inputs)
    weights = {k: v for k, v in golden("multimae_weights").tensors.items() if k not in set(removed or ())}
    load_multimae(model, weights)
    return model


def mae(config: dict, standardized: bool) -> MaskedAutoencoder:
    """The published MAE, with pixel or per-patch standardised targets."""
    rgb = RGB(
        size=config["img_size"],
        patch=config["patch_size"],
        channels=config["in_chans"],
        position_order="column_first",
        role="input" if standardized else "both",
        **AS_GIVEN,
    )
    entries = {"rgb": rgb, **({"target": StandardizedRGB(of="rgb")} if standardized else {})}
    model = MaskedAutoencoder(
        ModalitySet(**entries),
        ViT(
            dim=config["embed_dim"],
            depth=config["depth"],
            heads=config["num_heads"],
            mlp_ratio=config["mlp_ratio"],
            separate_qkv=False,
        ),
        JointDecoder(
            dim=config["decoder_embed_dim"],
            depth=config["decoder_depth"],
            heads=config["decoder_num_heads"],
            mlp_ratio=config["mlp_ratio"],
        ),
        objective=WeightedSum(reduction="pooled"),
        masking=Share(),
    )
    load_mae(model, golden("mae_weights").tensors)
    return model


def plan_from(model: MaskedAutoencoder, masks: dict[str, torch.Tensor], num_tokens: dict[str, int]) -> MaskPlan:
    """Published masks (0 visible, 1 masked) as a plan; an absent input is masked whole and predicted whole."""
    batch = len(next(iter(masks.values())))
    hidden = {
        name: masks[name].bool() if name in masks else torch.ones(batch, num_tokens[name], dtype=torch.bool)
        for name in model.modalities.fields
    }
    visible = {name: ~hidden[name] for name in model.modalities.inputs}
    return MaskPlan(visible, {name: hidden[source] for name, source in model.modalities.sources.items()})
