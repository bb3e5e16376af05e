"""No room but those of the modalities, the built-in scenes and the checks for authors holds a modality by name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import maetoolkit
from maetoolkit.plugins import registry

ROOMS = ("cli", "data", "evaluate", "export", "layers", "masking", "model", "train")
ROOT = Path(maetoolkit.__file__).parent
FILES = [
    file
    for room in ROOMS
    for file in sorted((ROOT / room).rglob("*.py"))
    if not file.name.startswith("scenes")  # a world of its own, whose streams have names
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_string_of_the_core_is_the_name_of_a_modality(file: Path) -> None:
    tree = ast.parse(file.read_text())
    names = {*registry().modalities, "rgb", "depth", "semantic", "standardized_rgb", "normals"}
    assert not strings(tree) & names


def strings(tree: ast.AST) -> set[str]:
    """All string literals, but for the sizes of a transformer, whose depth is its number of blocks."""
    if isinstance(tree, ast.Tuple | ast.Set) and any(getattr(item, "value", None) == "heads" for item in tree.elts):
        return set()
    if isinstance(tree, ast.Constant):
        return {tree.value} if isinstance(tree.value, str) else set()
    if isinstance(tree, ast.Dict) and "num_heads" in (keys := {getattr(key, "value", None) for key in tree.keys}):
        return {key for key in keys if isinstance(key, str)} - {"depth"} | set().union(*map(strings, tree.values))
    return set().union(*(strings(child) for child in ast.iter_child_nodes(tree)))


def test_that_test_sees_names_and_knows_a_transformers_depth() -> None:
    assert strings(ast.parse("x = {'rgb': y['depth']}")) == {"rgb", "depth"}
    assert strings(ast.parse("for name in ('dim', 'depth', 'heads'): pass")) == set()
    assert strings(ast.parse("x = {'depth': 4, 'num_heads': y['rgb']}")) == {"num_heads", "rgb"}
