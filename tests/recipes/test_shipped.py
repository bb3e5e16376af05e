"""The shipped recipes, and the pages about them."""

import re
from pathlib import Path

import pytest

from maetoolkit.plugins import load
from maetoolkit.train.recipe import load_recipe

SHIPPED = sorted(load(()).recipes)  # built-in ones, whatever plugins are installed


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_is_valid_and_survives_being_written(name, tmp_path):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.run == f"runs/{name}"
    assert recipe.description
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.yaml())
    assert load_recipe(path) == recipe
    assert load_recipe(tmp_path) == recipe


@pytest.mark.parametrize("name", [n for n in SHIPPED if n not in ("quickstart", "nyuv2-small")])
def test_a_recipe_of_a_paper_names_what_was_published(name):
    assert "source" in load_recipe(name).published


def test_the_recipes_of_the_papers_have_their_settings():
    mae, multimae = load_recipe("mae-vit-b"), load_recipe("multimae-vit-b")
    assert (mae.batch, mae.optimizer.lr, mae.optimizer.warmup_epochs, mae.masking.ratio) == (4096, 1.5e-4, 40, 0.75)
    assert (mae.decoder.type, mae.decoder.dim, mae.decoder.depth, mae.decoder.heads) == ("joint", 512, 8, 16)
    assert (mae.modality_set.inputs, mae.modality_set.outputs) == (("rgb",), ("rgb_std",))
    assert (multimae.batch, multimae.optimizer.lr, multimae.epochs, multimae.masking.num_visible) == (
        2048,
        1e-4,
        1600,
        98,
    )
    assert multimae.optimizer.betas == (0.9, 0.95)
    assert multimae.optimizer.weight_decay == 0.05
    assert multimae.modality_set.inputs == ("rgb", "depth", "semantic")
    assert multimae.modality_set.outputs == ("rgb", "depth", "semantic", "rgb_std")
    assert multimae.encoder.final_norm is False
    assert load_recipe("multimae-vit-b-400").epochs == 400
    assert load_recipe("multimae-rgb-d").modality_set.inputs == ("rgb", "depth")
    assert load_recipe("multimae-rgb-s").modality_set.inputs == ("rgb", "semantic")
    assert load_recipe("mae-d2").decoder.dim == 256
    for name, outputs in (("rgb-to-d", ("depth",)), ("rgb-to-s", ("semantic",)), ("rgb-to-ds", ("depth", "semantic"))):
        recipe = load_recipe(name)
        assert (recipe.modality_set.inputs, recipe.modality_set.outputs) == (("rgb",), outputs)
        assert recipe.masking.ratio == 0


def test_the_recipes_with_mask_tokens_put_them_in_the_encoder_and_drop_nothing():
    multimae, simmim = load_recipe("multimae-vit-b-mask-tokens"), load_recipe("simmim-vit-b")
    assert multimae.masking == load_recipe("multimae-vit-b").masking.replace(in_place=True)
    assert multimae.published["minutes_per_epoch_8xa100"] == 43.3
    assert (simmim.masking.ratio, simmim.masking.cell, simmim.masking.in_place) == (0.6, (2,), True)
    assert (simmim.decoder.type, simmim.modalities["rgb"].loss) == ("linear", "l1")
    assert simmim.modality_set.outputs == ("rgb",)


def test_published_numbers_are_not_inherited():
    assert "imagenet_1k_finetune_top1" in load_recipe("multimae-vit-b").published
    assert "imagenet_1k_finetune_top1" not in load_recipe("multimae-vit-b-400").published


def test_the_documentation_lists_every_recipe_and_its_overrides_work():
    docs = Path(__file__).parents[2] / "docs"
    table = (docs / "recipes.md").read_text()
    assert all(f"`{name}`" in table for name in SHIPPED)
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
