"""The recipes that the plugins of this repository ship say what they need, so that a copy of one can be got to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from maetoolkit.plugins import registry
from maetoolkit.train.document import read_document
from maetoolkit.train.needed import needed
from maetoolkit.train.recipe import load_recipe

PLUGINS = Path(__file__).parents[2] / "plugins"
RECIPES = sorted(PLUGINS.glob("*/src/**/*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_plugins_recipe_states_all_that_it_needs_besides_maetoolkit(path):
    known = registry()
    uses = {key: stated.partition("==")[0] for key, stated in needed(load_recipe(path), known).items()}
    base = read_document(path).values.get("base")
    owner = known.recipes.owner(base) if base else None
    if owner is not None and not owner.builtin:
        uses[f"recipes.{base}"] = owner.distribution
    stated = load_recipe(path).plugins
    assert uses
    assert {key: stated.get(key) for key in uses} == uses


def test_every_plugin_with_a_recipe_was_looked_at():
    assert {path.relative_to(PLUGINS).parts[0] for path in RECIPES} >= {"maetoolkit-normals", "maetoolkit-text"}
