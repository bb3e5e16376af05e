"""Every built-in data source keeps every law."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from seeded_sources import MODALITIES, Arrays, write
from test_seeded_bugs import removing

from maetoolkit.data.folder import Folder
from maetoolkit.data.mix import Mix
from maetoolkit.data.scenes import Scenes
from maetoolkit.data.source import Source
from maetoolkit.modalities.image import RGB, Depth
from maetoolkit.modality import ModalitySet
from maetoolkit.plugins import registry
from maetoolkit.testing import check_source

SCENES = ModalitySet(rgb=RGB(size=(8,), patch=(4,)), depth=Depth(size=(8,), patch=(4,)))


def folder(root: Path) -> Source:
    return Folder(root=str(root), split=None, validation=None, missing="absent")


def mix(root: Path) -> Source:
    part = {"type": "folder", "root": str(root), "split": None, "validation": None, "missing": "absent"}
    unpaired = {"source": part, "entries": ("near",), "share": 0.5, "weight": 0.5}
    return Mix(sources={"paired": {"source": part}, "unpaired": unpaired})


@pytest.mark.parametrize("make", [folder, lambda root: Arrays(root=str(root))], ids=["folder", "a plugin's"])
def test_sources_of_files_keep_all_laws(make: Callable[[Path], Source], tmp_path: Path) -> None:
    write(tmp_path)
    stored = {entry: {p.stem: np.load(p) for p in (tmp_path / entry).iterdir()} for entry in MODALITIES.fields}
    verdicts = check_source(
        make(tmp_path), MODALITIES, remove=removing(tmp_path), truth=lambda key, entry: stored[entry].get(key)
    )
    assert all(verdict.held for verdict in verdicts)


@pytest.mark.parametrize("held_out", [0.4, None])
def test_a_held_out_share_keeps_all_laws(held_out: float | None, tmp_path: Path) -> None:
    write(tmp_path)
    source = Folder(root=str(tmp_path), split=None, validation=held_out, missing="absent", flip=0.1)
    verdicts = check_source(source, MODALITIES, remove=removing(tmp_path))
    assert all(verdict.held for verdict in verdicts)


def test_a_mix_keeps_all_laws(tmp_path: Path) -> None:
    write(tmp_path)
    verdicts = check_source(mix(tmp_path), MODALITIES, most=18)
    assert [verdict.law for verdict in verdicts if not verdict.held] == ["joined by key"]


@pytest.mark.parametrize("subset", ["train", "validation"])
def test_scenes_keep_all_laws(subset: str) -> None:
    source = Scenes(size=(8, 8), num_train=12, num_validation=7)
    verdicts = check_source(source, SCENES, subset=subset, most=4)  # type: ignore[arg-type]
    assert [verdict.law for verdict in verdicts if not verdict.held] == ["joined by key"]


def test_no_builtin_source_is_forgotten() -> None:
    offers = next(plugin for plugin in registry().plugins if plugin.name == "builtin").offers
    assert set(offers["sources"].values()) <= {Folder, Mix, Scenes}
