"""Resolving a recipe: find it, follow its `base`, lay the overrides over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from maetoolkit.errors import ConfigError
from maetoolkit.plugins import Registry
from maetoolkit.train.document import Document, Place, from_overrides, merge, read_document
from maetoolkit.train.needed import lost
from maetoolkit.train.recipe import DEFAULT_TYPES, SECTIONS
from maetoolkit.train.slots import slot

ALTERNATIVES = (
    *(("steps", "epochs"), ("warmup_steps", "warmup_epochs"), ("every", "every_epochs")),
    *(
        ("name", size) for size in ("dim", "depth", "heads", "mlp_ratio", "activation")
    ),  # an encoder by name, or by its numbers
)
NOT_INHERITED = ("name", "description", "run", "published", "versions")
MAX_BASES = 16


def resolve(source: str | Path | Mapping[str, Any], overrides: Sequence[str], known: Registry) -> Document:
    """All settings that were written down, in one document; with a name, a run directory and a type per section."""

    if isinstance(source, Mapping):
        chain = _bases(Document(_plain(source), {(): "settings"}), Path(), known, ())
        name = "recipe"
    else:
        path = find(source, known)
        name = path.parent.name if path.name == "recipe.yaml" else path.stem
        chain = _bases(read_document(path), path, known, (path.resolve(),))
    document = Document({section: {"type": default} for section, default in DEFAULT_TYPES.items()}, {})
    for layer in [*chain, from_overrides(overrides)]:
        _forget_removed(document, layer)
        document = merge(document, layer, ALTERNATIVES, partial(_fits, merge(document, layer).values, known))
    for section, default in DEFAULT_TYPES.items():
        document.values.setdefault(section, {"type": default})
    document.values.setdefault("name", name)
    document.values.setdefault("run", f"runs/{document.values['name']}")
    return document


def _fits(values: Mapping[str, Any], known: Registry, path: Place, type_name: str, key: str) -> bool:
    """Whether a key may stay where the type at `path` has become another one; `values` is all that is written."""
    kind = slot(path, values, known).kind
    offered = getattr(known, kind) if kind else {}
    return type_name not in offered or key in offered[type_name].model_fields


def find(source: str | Path, known: Registry) -> Path:
    """The file of a recipe: a file, a run directory, or the name of a registered recipe. Raises ConfigError."""
    text = str(source)
    if "\0" in text:
        raise ConfigError(f"recipe {text!r}: not a name and not a path")
    path = Path(text)
    if isinstance(source, str) and text in known.recipes.owners:
        return known.recipes[text]
    if path.suffix in (".yaml", ".yml"):
        return path
    try:
        if (path / "recipe.yaml").is_file():
            return path / "recipe.yaml"
        if path.exists() or "/" in text or "\\" in text:
            raise ConfigError(f"{text}: expected a recipe's name, a .yaml file or a run directory; found none of them")
    except OSError as error:
        raise ConfigError(f"{text!r}: {error.strerror}") from None
    raise ConfigError(known.recipes.explain(text))


def _forget_removed(document: Document, layer: Document) -> None:
    """Where a layer removes a modality (null), drop what the layers below say of it by name, and what is `of` it."""
    entries, changes = document.values.get("modalities"), layer.values.get("modalities")
    if not isinstance(entries, dict) or not isinstance(changes, dict):
        return
    for name in [name for name, change in changes.items() if change is None and name in entries]:
        for other, entry in list(entries.items()):
            if isinstance(entry, dict) and entry.get("of") == name and other not in changes:
                del entries[other]
        for section in SECTIONS:
            settings = document.values.get(section)
            if not isinstance(settings, dict):
                continue
            for key, value in settings.items():
                if isinstance(value, dict):
                    value.pop(name, None)
                elif isinstance(value, list):
                    settings[key] = [item for item in value if item != name]


def _bases(document: Document, path: Path, known: Registry, seen: tuple[Path, ...]) -> list[Document]:
    """The documents that `document` builds on, farthest first, then itself without its `base`."""
    base = document.values.pop("base", None)
    if base is None:
        return [document]
    place = document.place(("base",))
    if not isinstance(base, str):
        raise ConfigError(f"{place}: base: found {base!r}; expected the name or file of a recipe")
    beside = path.parent / base
    try:
        found = beside if Path(base).suffix in (".yaml", ".yml") and beside.is_file() else find(base, known)
        below = read_document(found)
    except (ConfigError, OSError) as error:
        stated = lost("recipes", base, document.values.get("plugins"), known)
        raise ConfigError(f"{place}: base: {stated or error}") from None
    if found.resolve() in seen or len(seen) >= MAX_BASES:
        raise ConfigError(f"{place}: base: {base!r} is built on itself; break the circle")
    for key in NOT_INHERITED:
        below.values.pop(key, None)
    return [*_bases(below, found, known, (*seen, found.resolve())), document]


def _plain(value: Any) -> Any:
    """Settings given from Python as the plain values a file would hold (descriptions, tuples and paths included)."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
