"""docs/masking.md lists every built-in sampler, its examples are valid, its pictures are what the code draws."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from maetoolkit.masking import Block, Layout, Masking, Share, Span, Tube
from maetoolkit.plugins import load
from maetoolkit.randomness import Draw
from maetoolkit.train.recipe import load_recipe

PAGE = (Path(__file__).parents[2] / "docs" / "masking.md").read_text()
GRID = (8, 16)
PICTURES: dict[str, Masking] = {
    "share": Share(),
    "share, cell 2": Share(cell=2),
    "block": Block(),
    "tube, axis 0": Tube(ratio=0.75),
    "span, length 10": Span(),
    "span, axis 1": Span(axis=1, length=4),
}


def pictures() -> str:
    """Two rows of three masks, 8 x 16 tokens each, with their names above them."""
    layout = Layout({"x": np.ones((1, 128), bool)}, {"x": GRID}, ("x",), {"x": "x"})
    blocks = []
    for name, masking in PICTURES.items():
        flags = masking.build()(layout, Draw.of(0, ["picture"])).visible["x"].numpy().reshape(GRID)
        blocks.append([name.ljust(GRID[1]), *("".join("#" if shown else "." for shown in row) for row in flags)])
    rows = [blocks[:3], blocks[3:]]
    return "\n\n".join("\n".join("   ".join(line).rstrip() for line in zip(*row, strict=True)) for row in rows)


def test_every_built_in_sampler_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows[1:] == list(load(()).samplers)


def test_the_pictures_are_what_the_code_draws() -> None:
    assert f"```text\n{pictures()}\n```" in PAGE


@pytest.mark.parametrize("number", range(PAGE.count("```yaml")))
def test_an_example_is_a_valid_recipe(number: int, tmp_path: Path) -> None:
    example = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[number]
    (tmp_path / "recipe.yaml").write_text(
        "steps: 1\ndata: {type: scenes}\nmodalities: {rgb: {type: rgb}, depth: {type: depth}}\n" + example
    )
    assert load_recipe(tmp_path / "recipe.yaml").masking.type != "dirichlet"  # type: ignore[attr-defined]
