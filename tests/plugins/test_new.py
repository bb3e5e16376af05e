"""`maetool plugins new`: the package it writes works as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from plugin_entries import Entry, module

from maetoolkit.cli import main
from maetoolkit.cli.plugins_new import KINDS, write
from maetoolkit.errors import ConfigError
from maetoolkit.hookspecs import API
from maetoolkit.modalities.image import RGB


def python(*arguments, site: Path, folder: Path, **environment):
    """Run Python in another process, with a folder of installed packages first on its path."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAETOOLKIT_")}
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    settings = {**inherited, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=settings, capture_output=True, text=True)


def as_if_installed(package: Path, site: Path) -> None:
    """Put a package and what pip would write of it in a folder."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    (entry,) = project["entry-points"]["maetoolkit"].items()
    info = site / f"{entry[1]}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text(f"[maetoolkit]\n{entry[0]} = {entry[1]}\n")
    (site / entry[1]).symlink_to(package / "src" / entry[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["x", "a-very-long-name-of-24-ch"[:24]])
def test_what_is_written_is_formatted_and_clean_whatever_the_name(tmp_path, kind, name):
    package = write(name, kind, tmp_path)
    assert package == tmp_path / f"maetoolkit-{name}"
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", str(package)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
    for path in package.rglob("*"):
        assert not path.is_file() or "{{" not in path.read_text()
        assert not path.name.endswith(".j2")


@pytest.mark.parametrize("kind", KINDS)
def test_the_package_is_found_loaded_and_checked_against_the_recipe_rules(tmp_path, kind):
    package, site = write("heart-beat", kind, tmp_path), tmp_path / "site"
    as_if_installed(package, site)
    listed = python("-m", "maetoolkit", "plugins", "--json", site=site, folder=tmp_path)
    assert listed.returncode == 0, listed.stderr
    found = next(each for each in json.loads(listed.stdout)["plugins"] if each["name"] == "heart-beat")
    assert (found["status"], found["reason"], found["api"]) == ("loaded", "", str(API))
    assert found["offers"][KINDS[kind][0]] == ["heart_beat"]
    (recipe,) = found["offers"]["recipes"]
    shown = python("-m", "maetoolkit", "show", recipe, "--settings-only", site=site, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "heart_beat" in shown.stdout


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Signal",
        "9lives",
        "a b",
        "a--b",
        "-a",
        "a-",
        "../up",
        "a/b",
        "x" * 25,
        "ünï",
        "import",
        "match",
        "values",
        "maetoolkit",
    ],
)
def test_a_name_that_cannot_be_one_is_refused_and_nothing_is_written(tmp_path, name):
    done = CliRunner().invoke(main, ["plugins", "new", "--into", str(tmp_path), "--", name])
    assert done.exit_code == 2
    assert "cannot be a plugin's name" in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_exists_is_overwritten(tmp_path):
    (tmp_path / "maetoolkit-echo").mkdir()
    (tmp_path / "maetoolkit-echo" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"maetoolkit-echo exists already; move it away, or choose another name"):
        write("echo", "modality", tmp_path)
    assert [path.name for path in (tmp_path / "maetoolkit-echo").iterdir()] == ["mine.txt"]
    (tmp_path / "maetoolkit-dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="exists already"):
        write("dangling", "modality", tmp_path)
    with pytest.raises(ConfigError, match="no such folder; create it, or name another"):
        write("echo", "modality", tmp_path / "missing")


def test_names_that_are_taken_are_refused(tmp_path, install):
    with pytest.raises(ConfigError, match=r"maetoolkit-normals \S+ is installed already; choose another name"):
        write("normals", "modality", tmp_path)
    with pytest.raises(ConfigError, match=r"type 'depth' is offered by plugin 'builtin'"):
        write("depth", "modality", tmp_path)

    class Glow(RGB):
        pass

    install([Entry("glow", lambda: module(), "elsewhere", "3")])
    with pytest.raises(ConfigError, match=r"plugin 'glow' \(elsewhere 3\) is installed already"):
        write("glow", "sampler", tmp_path)
    assert write("depth", "sampler", tmp_path).is_dir()


def test_a_name_may_be_given_as_that_of_its_distribution_and_may_be_that_of_a_class(tmp_path):
    assert write("maetoolkit-heart_beat", "modality", tmp_path).name == "maetoolkit-heart-beat"
    package = write("field", "modality", tmp_path)
    assert "class FieldPlugin(GridModality)" in (package / "src/maetoolkit_field/modality.py").read_text()


@pytest.mark.parametrize("name", ["x", "heart-beat", "signals-of-24-letters-ab"])
def test_the_comments_on_the_commands_stand_below_each_other(tmp_path, name):
    lines = (write(name, "modality", tmp_path) / "README.md").read_text().splitlines()
    assert "```" in lines
    columns = {line.index(" # ") for line in lines if " # " in line}
    assert len(columns) == 1
    assert sum(" # " in line for line in lines) == 4
    assert lines[lines.index("```") + 1].startswith("pip install -e .")
    assert f"maetool plugins check {name} " in "\n".join(lines)


def test_a_folder_that_cannot_be_written_in_is_named(tmp_path, monkeypatch):
    def full(self, *arguments, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigError, match=r"maetoolkit-echo: cannot be written \(No space left on device\)"):
        write("echo", "modality", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_listing_and_writing_import_no_torch(tmp_path):
    script = (
        "import sys; from maetoolkit.cli import main\n"
        f"new = ['new', 'quick', '--into', {str(tmp_path)!r}]\n"
        "for arguments in ([], new, ['hooks']):\n"
        "    main(['plugins', *arguments], standalone_mode=False)\n"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"


@pytest.fixture(scope="module", params=KINDS)
def built(request, tmp_path_factory):
    """(package, folder with its installed wheel, kind)."""
    folder = tmp_path_factory.mktemp(request.param)
    package = write("heart-beat", request.param, folder)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(package)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return package, folder / "site", request.param


@pytest.mark.slow
def test_its_own_tests_pass_against_the_installed_wheel_and_its_types_are_right(built):
    package, site, _ = built
    tests = python("-m", "pytest", "-q", "-p", "no:cacheprovider", site=site, folder=package)
    assert tests.returncode == 0, tests.stdout
    types = python("-m", "mypy", "--cache-dir", os.devnull, site=site, folder=package)
    assert types.returncode == 0, types.stdout


@pytest.mark.slow
def test_check_says_that_every_law_holds(built):
    package, site, _ = built
    done = python("-m", "maetoolkit", "plugins", "check", "heart-beat", site=site, folder=package)
    assert done.returncode == 0, done.stdout
    assert "BROKEN" not in done.stdout
    assert done.stdout.splitlines()[-1].startswith("heart-beat: ")


@pytest.mark.slow
def test_it_trains_from_its_wheel_with_the_commands_of_its_readme(built, tmp_path):
    package, site, kind = built
    readme = (package / "README.md").read_text()
    if kind in ("modality", "source"):
        example = "maetoolkit_heart_beat.example"
        assert f"python -m {example} data" in readme
        done = python("-m", example, "data", site=site, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    recipe = KINDS[kind][2].format(name="heart-beat")
    assert f"maetool pretrain {recipe}" in readme
    tiny = ["steps=2", "batch=4", "optimizer.warmup_steps=1", "encoder.depth=1", "data.workers=0", "log.every=1"]
    done = python("-m", "maetoolkit", "pretrain", recipe, *tiny, site=site, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / recipe
    assert (run / "report.html").is_file()
    losses = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = [line for line in losses if "loss" in line]
    assert len(steps) == 2
    if kind == "modality":
        assert all({"loss/rgb", "loss/heart_beat"} <= set(line) for line in steps)
    assert f"{KINDS[kind][0]}.heart_beat: maetoolkit-heart-beat==0.1.0" in (run / "recipe.yaml").read_text()
