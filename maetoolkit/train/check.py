"""Checking a document: every problem at once, each with place, key, finding and expectation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from maetoolkit.errors import ConfigError
from maetoolkit.plugins import Registry
from maetoolkit.train.document import Document, Place
from maetoolkit.train.explain import explain, is_key, near, shown
from maetoolkit.train.recipe import SECTIONS, Recipe, recipe_type

MAX_SHOWN = 20
RESERVED = ("self", "type", "training")


def checked(document: Document, known: Registry) -> Recipe:
    """The recipe a document describes. Raises ConfigError with all problems of the first stage that finds any."""
    problems = [*_modalities(document, known)]
    recipe = None
    try:
        recipe = recipe_type(known).model_validate(document.values)
    except ValidationError as error:
        told = {path for path, _ in problems}
        problems += [(path, text) for path, text in explain(error, document.values, known) if path[:2] not in told]
    if recipe is not None and not problems:
        problems += _quietly_converted(document.values, recipe.document(), ())
    if recipe is not None and not problems:
        problems += _relations(recipe)
    if recipe is None or problems:
        raise ConfigError(report(document, problems))
    return recipe


def report(document: Document, problems: list[tuple[Place, str]]) -> str:
    """One line per problem, in the order of the document; the first twenty of them."""
    lines = []
    for path, text in problems:
        key = ".".join(str(part) for part in path)
        lines.append(": ".join(part for part in (document.place(path), key, text) if part))
    lines = list(dict.fromkeys(lines))
    if len(lines) > MAX_SHOWN:
        lines = [*lines[:MAX_SHOWN], f"... and {len(lines) - MAX_SHOWN} more"]
    return "\n".join(lines)


def _modalities(document: Document, known: Registry) -> Iterator[tuple[Place, str]]:
    """Entries without a type (mostly misspelt overrides) and names that cannot be used."""
    entries = document.values.get("modalities")
    if not isinstance(entries, dict) or not entries:
        types = ", ".join(known.modalities)
        yield (
            ("modalities",),
            f"found {shown(entries)}; expected entries such as rgb: {{type: rgb}}; types are: {types}",
        )
        return
    for name, entry in entries.items():
        if not is_key(name) or name in RESERVED:
            yield ("modalities", name), "cannot be a name; expected letters, digits and _, beginning with a letter"
        elif not isinstance(entry, dict) or "type" not in entry:
            others = [other for other, item in entries.items() if isinstance(item, dict) and "type" in item]
            types = f"to add an entry, give its type: {', '.join(known.modalities)}"
            yield (
                ("modalities", name),
                f"no entry of that name with a type; {near(name, others, 'entries are')}; {types}",
            )


def _quietly_converted(given: Any, taken: Any, path: Place) -> Iterator[tuple[Place, str]]:
    """Values of a kind that pydantic would convert without a word: true as 1, "64" as 64, "no" as false."""
    if isinstance(given, dict) and isinstance(taken, dict):
        for key in given.keys() & taken.keys():
            yield from _quietly_converted(given[key], taken[key], (*path, key))
    elif isinstance(given, list) and isinstance(taken, list) and len(given) == len(taken):
        for index, pair in enumerate(zip(given, taken, strict=True)):
            yield from _quietly_converted(*pair, (*path, index))
    elif _sort(given) and _sort(taken) and _sort(given) != _sort(taken):
        hint = f"; write {taken} without quotes" if isinstance(given, str) and _sort(taken) == "a number" else ""
        yield path, f"found {shown(given)}; expected {_sort(taken)}{hint}"


def _sort(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "a number" if isinstance(value, int | float) else "text" if isinstance(value, str) else ""


def _relations(recipe: Recipe) -> Iterator[tuple[Place, str]]:
    """What single settings cannot show: how they fit together."""
    if (recipe.steps is None) == (recipe.epochs is None):
        found = "neither" if recipe.steps is None else "both"
        yield ("steps",) if recipe.steps else (), f"found {found} of steps and epochs; expected exactly one of them"
    if recipe.micro_batch is not None and recipe.batch % recipe.micro_batch:
        yield (
            ("micro_batch",),
            f"found {recipe.micro_batch}; expected a divisor of batch ({recipe.batch}), such as {_divisor(recipe)}",
        )
    for section, pair in (("optimizer", ("warmup_steps", "warmup_epochs")), ("checkpoint", ("every", "every_epochs"))):
        if all(getattr(getattr(recipe, section), name) is not None for name in pair):
            yield (section, pair[0]), f"found both {pair[0]} and {pair[1]}; expected one of them"
    try:
        modalities = recipe.modality_set
    except ValueError as error:
        yield _split((), str(error))
        return
    for path, names, what, values in (
        (("decoder", "fp32"), modalities.outputs, "outputs are", getattr(recipe.decoder, "fp32", ())),
        (("data", "streams"), modalities.fields, "entries with data are", getattr(recipe.data, "streams", ())),
    ):
        for value in values:
            name = value if isinstance(value, str) else value[0]  # names, or pairs of name and setting
            if name not in names:
                yield path, f"{shown(name)} is no modality here; {near(name, names, what)}"
    for section in SECTIONS:
        check = getattr(getattr(recipe, section), "check", None)
        if check is None:
            continue
        try:
            check(modalities)
        except ValueError as error:
            yield _split((section,), str(error))
        except Exception as error:  # a plugin may raise anything
            yield (section,), f"{type(getattr(recipe, section)).__name__}.check failed: {type(error).__name__}: {error}"


def _split(path: Place, message: str) -> tuple[Place, str]:
    """Move a `key.path: ` that a message begins with to the path."""
    head, separator, rest = message.partition(": ")
    if separator and all(is_key(part) for part in head.split(".")):
        return (*path, *head.split(".")), rest
    return path, message


def _divisor(recipe: Recipe) -> int:
    wanted = min(recipe.micro_batch or 1, recipe.batch)
    return next(number for number in range(wanted, 0, -1) if recipe.batch % number == 0)
