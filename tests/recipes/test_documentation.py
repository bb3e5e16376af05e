"""The pages about recipes are true."""

import re
from pathlib import Path

from maetoolkit.plugins import load
from maetoolkit.train.recipe import load_recipe


def test_the_documentation_lists_every_recipe_and_its_overrides_work():
    docs = Path(__file__).parents[2] / "docs"
    table = (docs / "recipes.md").read_text()
    assert all(f"`{name}`" in table for name in load(()).recipes)
    lines = (docs / "fidelity.md").read_text().splitlines()
    found = [re.findall(r"`([a-z_.]+=(?:\{[^}]*\}|[^`]+))`", line) for line in lines if line.startswith("|")]
    for overrides in filter(None, found):
        if not any("none:" in override for override in overrides):
            load_recipe("multimae-vit-b", overrides)
    assert sum(map(len, found)) > 10


def test_the_documentation_tells_how_long_the_small_recipes_train():
    table = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    for name in ("quickstart", "nyuv2-small"):
        recipe = load_recipe(name)
        row = next(line for line in table.splitlines() if line.startswith(f"| `{name}`"))
        assert f"{recipe.steps} steps of {recipe.batch}" in row
