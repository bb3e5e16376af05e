"""The recipes load, and train on files."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from maetoolkit_volumes import maetoolkit_recipes

from maetoolkit import load_recipe, pretrain
from maetoolkit.train.log import read_log


def test_the_hippocampus_recipe_trains_on_scans_and_labels_of_unequal_size(tmp_path: Path) -> None:
    for split, number in [("train", 0), ("train", 1), ("val", 2)]:
        draw = np.random.default_rng(number)
        size = (14 + number, 18, 15)
        labels = draw.integers(0, 3, size).astype(np.uint8)
        for name, array in (("mri", (100 * labels + draw.random(size)).astype(np.float32)), ("seg", labels)):
            (tmp_path / split / name).mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / split / name / f"{number}.nii.gz")
    sizes = [f"modalities.{name}.size=16" for name in ("mri", "seg")]
    tiny = ["steps=2", "batch=2", "encoder.depth=1", "data.workers=0", "masking.num_visible=4"]
    where = [f"data.root={tmp_path}", f"run={tmp_path / 'run'}"]
    run = pretrain(load_recipe("volumes-hippocampus-small", [*tiny, *sizes, *where, "optimizer.warmup_steps=1"]))
    last = read_log(run.path / "log.jsonl")[-1]
    assert last["loss/mri"] > 0
    assert last["loss/seg"] > 0


@pytest.mark.parametrize("name", maetoolkit_recipes())
def test_a_recipe_survives_being_written(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    (tmp_path / "recipe.yaml").write_text(recipe.yaml())
    assert load_recipe(tmp_path / "recipe.yaml") == recipe
    assert recipe.description
