"""The core holds no modality by name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import maetoolkit
from maetoolkit.plugins import registry

ROOMS = ("layers", "masking", "model", "train")
ROOT = Path(maetoolkit.__file__).parent
FILES = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]


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
    return set().union(*(strings(child) for child in ast.iter_child_nodes(tree)))


def test_that_test_sees_names_and_knows_a_transformers_depth() -> None:
    assert strings(ast.parse("x = {'rgb': y['depth']}")) == {"rgb", "depth"}
    assert strings(ast.parse("for name in ('dim', 'depth', 'heads'): pass")) == set()
