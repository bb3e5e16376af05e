"""Text for maetoolkit: captions as a modality, tokenizer training, an HDF5 source, and the recipes of M3AE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maetoolkit.plugins import hookimpl
from maetoolkit_text.hdf5 import HDF5
from maetoolkit_text.text import Text

if TYPE_CHECKING:
    import click

    from maetoolkit.description import Description
    from maetoolkit.modality import Modality

__all__ = ["HDF5", "MAETOOLKIT_API", "Text"]

MAETOOLKIT_API = 1


@hookimpl
def maetoolkit_modalities() -> Mapping[str, type[Modality]]:
    """What recipes call `type: text`."""
    return {"text": Text}


@hookimpl
def maetoolkit_sources() -> Mapping[str, type[Description]]:
    """What recipes call `data: {type: hdf5}`."""
    return {"hdf5": HDF5}


@hookimpl
def maetoolkit_recipes() -> Mapping[str, Path]:
    """M3AE at three sizes, and one that two CPU cores can train."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml"))}


@hookimpl
def maetoolkit_commands() -> Mapping[str, click.Command]:
    """`maetool text`."""
    from maetoolkit_text.commands import text

    return {"text": text}


@hookimpl
def maetoolkit_cases() -> Mapping[str, Callable[[], Any]]:
    """What the laws are tried on."""
    from maetoolkit_text import cases

    return {"text": cases.text, "hdf5": cases.hdf5}
