"""The built-ins, offered through the same hooks as any plugin; imports descriptions only, so no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from maetoolkit.data.folder import Folder
from maetoolkit.data.mix import Mix
from maetoolkit.data.scenes import Scenes
from maetoolkit.hookspecs import hookimpl
from maetoolkit.masking.bert import Bert
from maetoolkit.masking.block import Block
from maetoolkit.masking.compose import Conditional, Each, Restrict, Schedule, Union
from maetoolkit.masking.dirichlet import Dirichlet
from maetoolkit.masking.share import Share
from maetoolkit.masking.span import Span
from maetoolkit.masking.tube import Tube
from maetoolkit.modalities.features import Features
from maetoolkit.modalities.image import RGB, Depth, StandardizedRGB
from maetoolkit.modalities.semantic import Semantic
from maetoolkit.model.decoder import CrossDecoder, JointDecoder, LinearDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.model.objective import Uncertainty, WeightedSum
from maetoolkit.model.target import Ema, TimmFeatures

if TYPE_CHECKING:
    import click

    from maetoolkit.description import Description
    from maetoolkit.masking.sampler import Masking
    from maetoolkit.modality import Modality


@hookimpl
def maetoolkit_modalities() -> Mapping[str, type[Modality]]:
    """Colour, standardised colour, depth and semantic labels, and a teacher's features of any of them."""
    return {"rgb": RGB, "standardized_rgb": StandardizedRGB, "depth": Depth, "semantic": Semantic, "features": Features}


@hookimpl
def maetoolkit_samplers() -> Mapping[str, type[Masking]]:
    """A share of every field, a budget over all, patterns on grids and sequences, and samplers made of samplers."""
    return {
        "share": Share,
        "dirichlet": Dirichlet,
        "block": Block,
        "tube": Tube,
        "span": Span,
        "bert": Bert,
        "each": Each,
        "restrict": Restrict,
        "union": Union,
        "conditional": Conditional,
        "schedule": Schedule,
    }


@hookimpl
def maetoolkit_encoders() -> Mapping[str, type[Description]]:
    """A timm ViT."""
    return {"vit": ViT}


@hookimpl
def maetoolkit_decoders() -> Mapping[str, type[Description]]:
    """One small stack per target (MultiMAE), one over all (MAE), or none (SimMIM)."""
    return {"cross": CrossDecoder, "joint": JointDecoder, "linear": LinearDecoder}


@hookimpl
def maetoolkit_targets() -> Mapping[str, type[Description]]:
    """Any frozen timm model, and an average of the student."""
    return {"timm": TimmFeatures, "ema": Ema}


@hookimpl
def maetoolkit_objectives() -> Mapping[str, type[Description]]:
    """Fixed weights and uncertainty weighting."""
    return {"weighted": WeightedSum, "uncertainty": Uncertainty}


@hookimpl
def maetoolkit_sources() -> Mapping[str, type[Description]]:
    """Aligned folders of files, ray-cast scenes, and several sources mixed."""
    return {"folder": Folder, "scenes": Scenes, "mix": Mix}


@hookimpl
def maetoolkit_recipes() -> Mapping[str, Path]:
    """The YAML files of `maetoolkit/recipes`, by stem."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml"))}


@hookimpl
def maetoolkit_commands() -> Mapping[str, click.Command]:
    """The commands of `maetool`."""
    from maetoolkit.cli import COMMANDS

    return COMMANDS
