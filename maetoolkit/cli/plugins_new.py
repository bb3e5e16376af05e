"""`maetool plugins new`: a package that works, to be changed into what is needed."""

from __future__ import annotations

import keyword
import re
import tempfile
from pathlib import Path

import click

from maetoolkit.errors import ConfigError

TEMPLATES = Path(__file__).parent / "templates"
KINDS = {  # --kind -> the kind in the registry, what the package is, and the name of its recipe
    "modality": ("modalities", "signals over time as a modality", "rgb-{name}"),
    "sampler": ("samplers", "a mask sampler", "quickstart-{name}"),
    "target": ("targets", "features to predict", "quickstart-{name}"),
    "source": ("sources", "a data source", "quickstart-{name}"),
}
_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
IMPORTED = {"Callable", "Draw", "Extent", "Field", "Geometry", "GridModality", "Histogram", "Layout", "Literal",
            "Mapping", "MaskPlan", "MaskSampler", "MaskedAutoencoder", "Masking", "Modality", "ModalitySet", "Patches",
            "Path", "PositiveInt", "Rgb", "Samples", "Source", "Subset", "TargetDescription", "Teacher", "Tensor",
            "True", "False", "None"}  # fmt: skip
"""Names that the templates use themselves, so that no class may have them."""


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(list(KINDS)), default="modality", show_default=True, help="What it adds.")
@click.option(
    "--into", type=click.Path(path_type=Path), default=Path(), show_default="here", help="The folder to write it in."
)
def new(name: str, kind: str, into: Path) -> None:
    """Write a working package maetoolkit-NAME, with its tests and a recipe.

    NAME is what recipes will say: `type: NAME`. Nothing that exists is overwritten.
    """
    folder = write(name, kind, into)
    click.echo(f"wrote {folder}:")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            click.echo(f"  {path.relative_to(folder)}")
    click.echo(f"\nnext:\n  cd {folder}\n  pip install -e . --group dev\n  pytest")
    click.echo(f"  maetool plugins check {_words(name)['name']}\nREADME.md says what is where.")


def write(name: str, kind: str, into: Path) -> Path:
    """Write the package and return its folder. Raises ConfigError where the name or the folder cannot be used."""
    words = _words(name)
    words["kind"] = kind
    _check_free(words, KINDS[kind][0])
    summary, recipe = KINDS[kind][1:]
    words |= {"summary": summary[0].upper() + summary[1:], "recipe": recipe.format(name=words["name"])}
    if not into.is_dir():
        raise ConfigError(f"--into {into}: no such folder; create it, or name another")
    target = into / words["distribution"]
    if target.exists() or target.is_symlink():
        raise ConfigError(f"{target} exists already; move it away, or choose another name or --into another folder")
    try:
        with tempfile.TemporaryDirectory(prefix=".new-", dir=into) as temporary:
            whole = Path(temporary) / "whole"
            for part in ("every", kind):
                _render(TEMPLATES / part, whole, words)
            whole.rename(target)  # all of it or nothing
    except OSError as error:
        raise ConfigError(
            f"{target}: cannot be written ({error.strerror}); choose another folder with --into"
        ) from None
    return target


def _words(name: str) -> dict[str, str]:
    """The forms that a name takes in a package. Raises ConfigError where it cannot be one."""
    from importlib_metadata import version

    from maetoolkit.hookspecs import API, PROJECT

    short = name.removeprefix("maetoolkit-").removeprefix("maetoolkit_")
    if not _NAME.fullmatch(short) or len(short) > 24:
        raise ConfigError(
            f"{name!r} cannot be a plugin's name; expected at most 24 small letters and digits, a letter first, "
            "with - between words, such as heart-beat"
        )
    snake, short = short.replace("-", "_"), short.replace("_", "-")
    taken_by = "Python" if keyword.iskeyword(snake) or keyword.issoftkeyword(snake) else _used_by_torch(snake)
    taken_by = snake if snake == PROJECT else taken_by
    if taken_by:
        raise ConfigError(f"{name!r} cannot be a plugin's name, as {taken_by} uses it; choose another")
    camel = "".join(word[0].upper() + word[1:] for word in short.split("-"))
    major_minor = ".".join(version("maetoolkit").split(".")[:2])
    return {
        "name": short,
        "type": snake,
        "module": f"maetoolkit_{snake}",
        "distribution": f"maetoolkit-{short}",
        "cls": f"{camel}Plugin" if camel in IMPORTED else camel,
        "toolkit": major_minor,
        "api": str(API),
    }


def _used_by_torch(name: str) -> str:
    from maetoolkit.modality import TAKEN

    return "torch" if name in TAKEN else ""


def _check_free(words: dict[str, str], kind: str) -> None:
    """Raise ConfigError where a distribution, plugin or type of that name is installed."""
    from importlib.util import find_spec

    from importlib_metadata import PackageNotFoundError, version

    from maetoolkit.plugins import registry

    try:
        found = version(words["distribution"])
    except PackageNotFoundError:
        pass
    else:
        raise ConfigError(f"{words['distribution']} {found} is installed already; choose another name")
    if find_spec(words["module"]) is not None:
        raise ConfigError(f"a module {words['module']} is installed already; choose another name")
    known = registry()
    for plugin in known.plugins:
        if plugin.name == words["name"]:
            raise ConfigError(f"{plugin.owner} is installed already; choose another name")
    owners = getattr(known, kind).owners.get(words["type"])
    if owners:
        raise ConfigError(f"type {words['type']!r} is offered by {owners[0].owner}; choose another name")


def _render(source: Path, into: Path, words: dict[str, str]) -> None:
    """Every template of a folder, with MODULE, NAME and RECIPE in its path replaced."""
    from jinja2 import Environment, StrictUndefined

    rules = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    for template in sorted(source.rglob("*.j2")):
        relative = template.relative_to(source).as_posix().removesuffix(".j2").replace("gitignore", ".gitignore")
        for place, word in (("MODULE", "module"), ("NAME", "type"), ("RECIPE", "recipe")):
            relative = relative.replace(place, words[word])
        path = into / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rules.from_string(template.read_text(encoding="utf-8")).render(words), encoding="utf-8")
