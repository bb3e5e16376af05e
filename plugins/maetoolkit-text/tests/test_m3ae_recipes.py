from __future__ import annotations

import io
from pathlib import Path

import maetoolkit_text
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from vocabularies import write_vocabulary

from maetoolkit.cli import main
from maetoolkit.train.recipe import load_recipe

RECIPES = sorted(maetoolkit_text.maetoolkit_recipes())
PAPER = ("m3ae-vit-s", "m3ae-vit-b", "m3ae-vit-l")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_valid_without_its_tokenizer_and_survives_being_written(name: str, tmp_path) -> None:
    recipe = load_recipe(name)
    assert (recipe.name, recipe.run) == (name, f"runs/{name}")
    assert recipe.description
    (tmp_path / "recipe.yaml").write_text(recipe.yaml())
    assert load_recipe(tmp_path) == recipe


@pytest.mark.parametrize("name", PAPER)
def test_the_recipes_of_the_paper_have_its_settings(name: str) -> None:
    recipe = load_recipe(name)
    text, rgb = recipe.modalities["text"], recipe.modalities["rgb"]
    assert (text.vocab_size, text.max_length, text.embedding_std, text.position) == (30522, 64, 1.0, "sincos")
    assert (rgb.size, rgb.patch, rgb.position_order) == ((256,), (16,), "column_first")
    assert (recipe.masking.ratio, dict(recipe.masking.ratios)) == (0.75, {"text": 0.75})
    assert (recipe.masking.per, recipe.masking.count) == ("sample", "present")
    encoder, decoder, optimizer = recipe.encoder, recipe.decoder, recipe.optimizer
    sizes = {"m3ae-vit-s": (384, 12, 6), "m3ae-vit-b": (768, 12, 12), "m3ae-vit-l": (1024, 24, 16)}
    assert (encoder.dim, encoder.depth, encoder.heads) == sizes[name]
    assert (encoder.modality_embedding, encoder.activation, encoder.final_norm) == (True, "gelu_tanh", True)
    assert (decoder.type, decoder.dim, decoder.depth, decoder.heads) == ("joint", 512, 8, 16)
    assert (decoder.activation, decoder.mask_token) == ("gelu_tanh", "per_modality")
    assert dict(recipe.objective.weights) == {"rgb": 1.0, "text": 0.5}
    assert recipe.objective.reduction == "per_sample_all"
    assert (recipe.batch, recipe.epochs, optimizer.lr, optimizer.warmup_epochs) == (4096, 50, 1.5e-4, 5)
    assert (optimizer.betas, optimizer.weight_decay, recipe.data.crop_scale) == ((0.9, 0.95), 0.05, (0.2, 1.0))
    assert "source" in recipe.published


def test_every_option_that_the_readme_names_is_one_override() -> None:
    import re

    readme = (Path(__file__).parents[1] / "README.md").read_text()
    rows = [line for line in readme.splitlines() if line.startswith("|")]
    found = [match for line in rows for match in re.findall(r"`([a-z_.0-9]+=[^`]+)`", line)]
    assert len(found) >= 8
    for override in found:
        load_recipe("m3ae-vit-b", [override])


def write_data(root: Path, num: int = 6) -> None:
    """Small photographs and captions; one caption is empty, one picture has two."""
    for folder in ("train/rgb", "train/caption"):
        (root / folder).mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(num):
        buffer = io.BytesIO()
        Image.fromarray(draw.integers(0, 255, (24, 32, 3), np.uint8)).save(buffer, "PNG")
        (root / "train" / "rgb" / f"{number}.png").write_bytes(buffer.getvalue())
        text = (
            "\n" if number == 0 else "a red dog runs .\na dog on grass .\n" if number == 1 else "a cat sits on snow .\n"
        )
        (root / "train" / "caption" / f"{number}.txt").write_text(text)


SMALL = (
    *(
        "modalities.rgb.size=16",
        "modalities.rgb.patch=8",
        "modalities.text.max_length=8",
        "modalities.text.vocab_size=0",
    ),
    *("encoder.dim=24", "encoder.depth=1", "encoder.heads=2", "decoder.dim=24", "decoder.depth=1", "decoder.heads=2"),
    *("batch=4", "steps=2", "report.samples=2", "report.masks=1"),
)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_small_run_trains_on_images_and_captions_and_reports_words(mixed: bool, tmp_path) -> None:
    write_data(tmp_path)
    parts = ("paired", "images") if mixed else ()
    roots = [f"data.sources.{part}.source.root={tmp_path}" for part in parts] or [f"data.root={tmp_path}"]
    more = [*roots, *(["data.sources.captions=null"] if mixed else []), "data.workers=0"]
    words = [f"modalities.text.tokenizer={write_vocabulary(tmp_path)}", f"run={tmp_path / 'run'}", *SMALL, *more]
    name = "m3ae-flickr8k-mix" if mixed else "m3ae-flickr8k-small"
    found = CliRunner().invoke(main, ["pretrain", name, *words])
    assert found.exit_code == 0, found.output
    assert "predicted: 0 %" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "caption/3.txt: the file is empty (zero bytes); expected UTF-8 text"),
        (b"a \xff dog", "caption/3.txt: expected UTF-8 text, found byte 0xff on line 1"),
        (b"a dog " * 9, "expected at most 8 tokens, found 18 in 'a dog a dog"),
    ],
)
def test_captions_that_cannot_be_used_end_in_one_message_that_names_the_sample(content, message, tmp_path) -> None:
    write_data(tmp_path)
    (tmp_path / "train" / "caption" / "3.txt").write_bytes(content)
    words = [f"modalities.text.tokenizer={write_vocabulary(tmp_path)}", f"data.root={tmp_path}", *SMALL]
    words += [
        f"run={tmp_path / 'run'}",
        "data.workers=0",
        "modalities.text.too_long=error",
        "batch=6",
        "report.samples=1",
    ]
    found = CliRunner().invoke(main, ["pretrain", "m3ae-flickr8k-small", *words])
    assert found.exit_code == 1
    assert message in found.output
    assert "3" in found.output.partition(":")[0]
    assert "Traceback" not in found.output


def test_a_recipe_whose_tokenizer_is_missing_says_how_to_make_one(tmp_path) -> None:
    write_data(tmp_path)
    missing = tmp_path / "none.json"
    words = [f"data.root={tmp_path}", f"modalities.text.tokenizer={missing}", f"run={tmp_path / 'run'}"]
    found = CliRunner().invoke(main, ["pretrain", "m3ae-flickr8k-small", *SMALL, *words])
    assert found.exit_code == 2
    assert "modalities.text.tokenizer" in found.output
    assert f"train one with `maetool text train-tokenizer --out {missing} FILES`" in found.output
    late = CliRunner().invoke(
        main, ["pretrain", "m3ae-flickr8k-small", *SMALL, *words, "modalities.text.vocab_size=20"]
    )
    assert late.exit_code in (1, 2)
    assert f"{missing} cannot be read" in late.output
    assert "Traceback" not in late.output
