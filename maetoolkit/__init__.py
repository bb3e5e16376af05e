"""Masked autoencoders for any set of modalities."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maetoolkit.masking import Bert, Block, Conditional, Dirichlet, Each, MaskPlan, Share, Span, Tube
    from maetoolkit.modalities import RGB, Depth, Features, GridModality, Semantic, StandardizedRGB
    from maetoolkit.modality import Modality, ModalitySet
    from maetoolkit.model.autoencoder import MaskedAutoencoder
    from maetoolkit.model.decoder import CrossDecoder, JointDecoder, LinearDecoder
    from maetoolkit.model.encoder import ViT
    from maetoolkit.model.objective import Uncertainty, WeightedSum
    from maetoolkit.model.target import Ema, TimmFeatures
    from maetoolkit.model.teacher import Teachers
    from maetoolkit.tokens import Batch, Field
    from maetoolkit.train.recipe import load_recipe
    from maetoolkit.train.run import load_run, pretrain

_HOMES = {
    "masking": ("Bert", "Block", "Conditional", "Dirichlet", "Each", "MaskPlan", "Share", "Span", "Tube"),
    "modalities": ("RGB", "Depth", "Features", "GridModality", "Semantic", "StandardizedRGB"),
    "modality": ("Modality", "ModalitySet"),
    "model.autoencoder": ("MaskedAutoencoder",),
    "model.decoder": ("CrossDecoder", "JointDecoder", "LinearDecoder"),
    "model.encoder": ("ViT",),
    "model.objective": ("Uncertainty", "WeightedSum"),
    "model.target": ("Ema", "TimmFeatures"),
    "model.teacher": ("Teachers",),
    "tokens": ("Batch", "Field"),
    "train.recipe": ("load_recipe",),
    "train.run": ("load_run", "pretrain"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "RGB",
    "Batch",
    "Bert",
    "Block",
    "Conditional",
    "CrossDecoder",
    "Depth",
    "Dirichlet",
    "Each",
    "Ema",
    "Features",
    "Field",
    "GridModality",
    "JointDecoder",
    "LinearDecoder",
    "MaskPlan",
    "MaskedAutoencoder",
    "Modality",
    "ModalitySet",
    "Semantic",
    "Share",
    "Span",
    "StandardizedRGB",
    "Teachers",
    "TimmFeatures",
    "Tube",
    "Uncertainty",
    "ViT",
    "WeightedSum",
    "load_recipe",
    "load_run",
    "pretrain",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import maetoolkit` does not import torch."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'maetoolkit' has no attribute {name!r}")
    return getattr(import_module(f"maetoolkit.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
