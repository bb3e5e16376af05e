"""Other processes are known in one place; import-linter sees whole packages only, and this a part of one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import maetoolkit

ROOT = Path(maetoolkit.__file__).parent
FILES = [file for file in sorted(ROOT.rglob("*.py")) if file != ROOT / "train" / "distributed.py"]
OTHERS = ("torch.distributed", "accelerate")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_only_train_distributed_knows_of_other_processes(file: Path) -> None:
    found = mentioned(ast.parse(file.read_text()))
    assert not [name for name in found if any(name == other or name.startswith(f"{other}.") for other in OTHERS)]


def mentioned(tree: ast.AST) -> set[str]:
    """Dotted names that are imported or used as attributes."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Attribute):
            names.add(ast.unparse(node))
    return names


def test_that_test_sees_every_way_to_name_it() -> None:
    for text in ("import torch.distributed as d", "from torch import distributed", "torch.distributed.barrier()"):
        assert any(name.startswith("torch.distributed") for name in mentioned(ast.parse(text)))
