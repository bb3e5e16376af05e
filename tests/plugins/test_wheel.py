"""A third-party plugin, installed from its built wheel, trains beside the built-ins; no line of the core knows it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugins" / "maetoolkit-normals"
TINY = ("steps=2", "batch=4", "optimizer.warmup_steps=1", "encoder.depth=1", "data.workers=0", "data.num_validation=4")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin's wheel, built from a copy so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(PLUGIN, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "dist"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist")]
    done = subprocess.run([*build, str(folder / "source")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel is installed: a pure wheel is the archive of what it installs."""
    site = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(site)
    return site


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Run Python in another process and folder, with the installed wheel first on its path."""

    def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1", **environment}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("MAETOOLKIT_")}
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env={**inherited, **settings}, capture_output=True, text=True
        )

    return python


def test_the_wheel_holds_the_code_its_recipe_and_its_entry_point(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"maetoolkit_normals/__init__.py", "maetoolkit_normals/rgb-normals.yaml"} <= names
    assert not any(name.startswith("maetoolkit/") for name in names)


def test_maetool_lists_the_installed_plugin_and_can_be_told_not_to(run: Run, installed: Path) -> None:
    where = run("-c", "import maetoolkit_normals; print(maetoolkit_normals.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(installed)
    listed = run("-c", "from maetoolkit.cli import main; main(['plugins'])")
    assert "normals  (maetoolkit-normals 0.1.0)  loaded" in listed.stdout, listed.stderr
    assert "rgb-normals" in listed.stdout
    blocked = run("-c", "from maetoolkit.cli import main; main(['plugins'])", MAETOOLKIT_BLOCK="maetoolkit-normals")
    assert "rgb-normals" not in blocked.stdout


def test_colour_and_normals_train_from_the_installed_wheel(run: Run, tmp_path: Path) -> None:
    script = (
        "import sys; from maetoolkit.train.recipe import load_recipe; from maetoolkit.train.run import pretrain; "
        "pretrain(load_recipe('rgb-normals', sys.argv[1:]))"
    )
    done = run("-c", script, *TINY, f"run={tmp_path / 'run'}", "log.every=1")
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line for line in steps if "loss/normals" in line]
    assert len(losses) == 2
    assert all(0 < line["loss/normals"] < 2 for line in losses)


def test_no_line_of_the_core_knows_of_the_plugin() -> None:
    files = [path for path in (ROOT / "maetoolkit").rglob("*.py") if path.parent.name != "data"]  # scenes offer normals
    assert files
    knowing = [path for path in files if re.search(r"maetoolkit.normals|[\"']normals[\"']", path.read_text())]
    assert not knowing


@pytest.mark.slow
def test_the_command_line_trains_and_reports_the_plugins_recipe(run: Run, tmp_path: Path) -> None:
    main = "import sys; from maetoolkit.cli import main; main(sys.argv[1:])"
    done = run("-c", main, "pretrain", "rgb-normals", *TINY, f"run={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
    shown = run("-c", main, "show", "rgb-normals")
    assert "normals" in shown.stdout


@pytest.mark.slow
def test_the_plugins_own_tests_pass_against_the_installed_wheel(run: Run) -> None:
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(PLUGIN / "tests"))
    assert done.returncode == 0, done.stdout
