"""The pages of docs/extending are true: their code stands in the plugins, or is run."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

from maetoolkit.plugins import registry

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "extending"
PAGES = sorted(path.name for path in FOLDER.glob("*.md"))
SOURCE_LANGUAGES = ("python", "yaml", "toml")
WHOLE = {  # files that a page shows from the first line to the last
    "modality.md": [
        "plugins/maetoolkit-normals/pyproject.toml",
        "plugins/maetoolkit-normals/src/maetoolkit_normals/__init__.py",
        "plugins/maetoolkit-normals/src/maetoolkit_normals/rgb-normals.yaml",
    ],
    "sampler.md": [
        "plugins/maetoolkit-samplers/pyproject.toml",
        "plugins/maetoolkit-samplers/src/maetoolkit_samplers/__init__.py",
        "plugins/maetoolkit-samplers/src/maetoolkit_samplers/colour_noise.py",
    ],
    "source.md": [
        "plugins/maetoolkit-text/pyproject.toml",
        "plugins/maetoolkit-text/src/maetoolkit_text/hdf5.py",
    ],
    "target.md": [
        "plugins/maetoolkit-hog/pyproject.toml",
        "plugins/maetoolkit-hog/src/maetoolkit_hog/__init__.py",
        "plugins/maetoolkit-hog/src/maetoolkit_hog/cases.py",
        "plugins/maetoolkit-hog/src/maetoolkit_hog/histograms.py",
        "plugins/maetoolkit-hog/src/maetoolkit_hog/hog.py",
        "plugins/maetoolkit-hog/src/maetoolkit_hog/maskfeat-hog-small.yaml",
    ],
}
FENCED = re.compile(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what stands behind it, and its text."""

    language: str
    about: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in FENCED.findall((FOLDER / page).read_text(encoding="utf-8"))]


def test_there_is_a_page_for_each_of_the_four_kinds() -> None:
    assert PAGES == ["README.md", "modality.md", "sampler.md", "source.md", "target.md"]


@pytest.mark.parametrize("page", PAGES)
def test_all_code_says_which_file_it_is_from_or_is_run(page: str) -> None:
    for block in blocks(page):
        if block.language in SOURCE_LANGUAGES:
            assert block.about == "run" or (ROOT / block.about).is_file(), block
        else:
            assert (block.language, block.about) in {("", ""), ("text", "raised"), ("text", "printed")}, block


@pytest.mark.parametrize("page", PAGES)
def test_code_of_a_file_stands_in_it_word_for_word(page: str) -> None:
    for block in blocks(page):
        if block.language in SOURCE_LANGUAGES and block.about != "run":
            file = (ROOT / block.about).read_text(encoding="utf-8")
            assert f"\n{block.text}" in f"\n{file}", f"{page}: this does not stand in {block.about}:\n{block.text}"


@pytest.mark.parametrize(("page", "name"), [(page, name) for page, names in WHOLE.items() for name in names])
def test_a_page_shows_its_files_from_the_first_line_to_the_last(page: str, name: str) -> None:
    file = (ROOT / name).read_text(encoding="utf-8")
    shown = [False] * len(file)
    for block in blocks(page):
        if block.about == name:
            start = f"\n{file}".index(f"\n{block.text}")
            shown[start : start + len(block.text)] = [True] * len(block.text)
    missing = "".join(letter for letter, there in zip(file, shown, strict=True) if not there)
    assert not missing.strip(), f"{page} leaves out of {name}:\n{missing.strip()}"


@pytest.mark.parametrize("page", PAGES)
def test_code_that_is_run_gives_what_is_shown(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("steps")
    monkeypatch.setitem(sys.modules, "steps", module)  # what is defined there can be pickled
    raised = printed = ""
    for number, block in enumerate(blocks(page)):
        if block.about == "run":
            raised, printed = _run(block.text, module, f"{page}, block {number}")
            expected = next((b.about for b in blocks(page)[number + 1 : number + 2] if b.language == "text"), "")
            assert not raised or expected == "raised", raised
        elif block.language == "text":
            _same(raised if block.about == "raised" else printed, block.text)


def _run(code: str, module: types.ModuleType, place: str) -> tuple[str, str]:
    """What the error says that the code ends in, and what it prints."""
    output, raised = io.StringIO(), ""
    with contextlib.redirect_stdout(output):
        try:
            exec(compile(code, place, "exec"), module.__dict__)
        except Exception as error:
            raised = str(error)
    return raised, output.getvalue()


def _same(found: str, shown: str) -> None:
    """Hold output against what a page shows of it, where a line `...` stands for any lines."""
    pattern = ".*\n".join(re.escape(part) for part in shown.split("...\n"))
    assert re.fullmatch(pattern, f"{found.strip()}\n", re.DOTALL), f"found:\n{found}\nshown:\n{shown}"


@pytest.mark.parametrize("page", [*PAGES, "../modalities.md"])
def test_links_lead_somewhere_and_commands_name_what_there_is(page: str) -> None:
    text = (FOLDER / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", FENCED.sub("", text)):
        assert (FOLDER / page).parent.joinpath(target).exists(), target
    known = registry()
    for recipe in re.findall(r"^maetool (?:pretrain|show) ([\w-]+)", text, re.MULTILINE):
        assert recipe in known.recipes, recipe
    names = {plugin.name for plugin in known.plugins}
    for name in re.findall(r"^maetool plugins check ([\w-]+)", text, re.MULTILINE):
        assert name in {*names, "heartbeat"}, name
    for command in re.findall(r"^maetool ([\w-]+)", text, re.MULTILINE):
        assert command in known.commands, command


def test_the_table_of_modalities_has_all_of_this_repository_with_their_files_and_recipes() -> None:
    text = (ROOT / "docs" / "modalities.md").read_text(encoding="utf-8")
    rows = {row.split("`")[1]: row for row in text.splitlines() if row.startswith("| `") and "images/" not in row}
    rows.pop("type")
    known = registry()
    ours = {"builtin", *(path.name for path in (ROOT / "plugins").iterdir())}
    offered = {
        name for p in known.plugins if {p.name, p.distribution} & ours for name in p.offers.get("modalities", ())
    }
    assert offered == set(rows)
    for name, row in rows.items():
        columns = [column.strip() for column in row.strip("|").split("|")]
        if len(columns) == 7:
            written = set(re.findall(r"(?:\.[a-z]\w*)+", columns[4]))
            assert written == set(known.modalities[name].suffixes), name
        for recipe in re.findall(r"`([\w{},-]+)`", columns[-2]):
            stem, _, choices = recipe.partition("{")
            for choice in choices.strip("}").split(","):
                assert stem + choice in known.recipes, recipe


def test_pictures_are_small() -> None:
    images = list((ROOT / "docs" / "images").glob("*.png"))
    assert images
    assert all(path.stat().st_size < 150_000 for path in images)
