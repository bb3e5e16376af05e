"""What the README and the examples show is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_code_of_the_readme_runs_and_is_short() -> None:
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    assert len([line for line in code.splitlines() if line.strip()]) < 25
    exec(compile(code, "README.md", "exec"), {})


def test_every_recipe_and_link_of_the_readme_exists() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target
    for recipe in ("quickstart", "mae-d2", "mae-d8", "multimae-vit-b", "multimae-rgb-d", "nyuv2-small", "rgb-to-ds"):
        assert f"`{recipe}`" in README
        assert (ROOT / "maetoolkit" / "recipes" / f"{recipe}.yaml").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_examples_run(example: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
