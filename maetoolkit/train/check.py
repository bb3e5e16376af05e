"""Checking a document: every problem at once, each with place, key, finding and expectation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from maetoolkit.errors import ConfigError
from maetoolkit.modalities.grid import GridModality
from maetoolkit.modality import TAKEN, ModalitySet
from maetoolkit.model.decoder import CrossDecoder, JointDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.plugins import Registry
from maetoolkit.train.document import Document, Place
from maetoolkit.train.explain import explain, is_key, near, shown
from maetoolkit.train.recipe import SECTIONS, Recipe, recipe_type

MAX_SHOWN = 20
COMMAND_LINE = "command line: "


def checked(document: Document, known: Registry) -> Recipe:
    """The recipe a document describes. Raises ConfigError with all problems of the first stage that finds any."""
    problems = [*_modalities(document, known)]
    recipe = None
    try:
        recipe = recipe_type(known).model_validate(document.values, context={"registry": known})
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
        lines.append(": ".join(part for part in (_cause(document, path, text), key, text) if part))
    lines = list(dict.fromkeys(lines))
    if len(lines) > MAX_SHOWN:
        lines = [*lines[:MAX_SHOWN], f"... and {len(lines) - MAX_SHOWN} more"]
    return "\n".join(lines)


def _cause(document: Document, path: Place, text: str) -> str:
    """Where the problem was written: the settings laid over a section that `text` is about, or else `path` itself."""
    own = document.place(path)
    value: Any = document.values
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    section = path if isinstance(value, dict) else path[:-1]
    relation = section == path or not text.startswith(("found", "unknown", "missing"))
    if not section or not relation or own.startswith(COMMAND_LINE):
        return own
    below = [(str(p[len(section)]), place) for p, place in document.places.items() if _within(p, section)]
    about = [(key, place) for key, place in below if re.search(rf"\b{re.escape(key)}\b", text)]
    if not about and section == path:
        about = below
    causes = [place for _, place in about if place.startswith(COMMAND_LINE)]
    if not causes and section == path:  # `own` is the lowest file that wrote the section
        causes = [place for _, place in about if place.rpartition(":")[0] != own.rpartition(":")[0]]
    return ", ".join(dict.fromkeys(causes)) or own


def _within(path: Place, section: Place) -> bool:
    return len(path) > len(section) and path[: len(section)] == section


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
        if not is_key(name):
            yield ("modalities", name), "cannot be a name; expected letters, digits and _, beginning with a letter"
        elif name in TAKEN or name == "self":  # as Python calls the set that the entries are arguments of
            yield ("modalities", name), "cannot be a name, as Python or torch uses it; choose another"
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
    return "a number" if isinstance(value, int | float) else "a string" if isinstance(value, str) else ""


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
    for name in getattr(recipe.decoder, "fp32", ()):
        if name not in modalities.outputs:
            yield (
                ("decoder", "fp32"),
                f"{shown(name)} is no modality here; {near(name, modalities.outputs, 'outputs are')}",
            )
    yield from _widths(recipe, modalities)
    checks: list[tuple[str, Any, tuple[Any, ...]]] = [
        (section, getattr(getattr(recipe, section), "check", None), (modalities,)) for section in SECTIONS
    ]
    checks.append(("decoder", getattr(recipe.decoder, "check_masking", None), (modalities, recipe.masking)))
    for section, check, given in checks:
        if check is None:
            continue
        try:
            check(*given)
        except ValueError as error:
            yield _split((section,), str(error))
        except Exception as error:  # a plugin may raise anything
            yield (section,), f"{type(getattr(recipe, section)).__name__}.check failed: {type(error).__name__}: {error}"


def _widths(recipe: Recipe, modalities: ModalitySet) -> Iterator[tuple[Place, str]]:
    """Widths that the sine-cosine positions of a grid cannot fill; the width of a named encoder is known to timm."""
    sized: list[tuple[str, int, tuple[str, ...]]] = []
    if isinstance(recipe.encoder, ViT) and recipe.encoder.name is None:
        sized.append(("encoder", recipe.encoder.dim, modalities.inputs))
    if isinstance(recipe.decoder, CrossDecoder | JointDecoder):
        sized.append(("decoder", recipe.decoder.dim, modalities.fields))
    for section, width, names in sized:
        for name in names:
            modality = modalities[name]
            if not isinstance(modality, GridModality) or modality.position != "sincos":
                continue
            step = 2 * modality.num_axes
            if not width % step or type(modality).build_position is not GridModality.build_position:
                continue
            near = " or ".join(str(number) for number in (width // step * step, (width // step + 1) * step) if number)
            yield (
                (section, "dim"),
                f"found {width}; expected a multiple of {step} for the positions of {name}, such as {near}; "
                f"or set modalities.{name}.position=learned",
            )
            break


def _split(path: Place, message: str) -> tuple[Place, str]:
    """Move a `key.path: ` that a message begins with to the path."""
    head, separator, rest = message.partition(": ")
    if separator and all(is_key(part) for part in head.split(".")):
        return (*path, *head.split(".")), rest
    return path, message


def _divisor(recipe: Recipe) -> int:
    wanted = min(recipe.micro_batch or 1, recipe.batch)
    return next(number for number in range(wanted, 0, -1) if recipe.batch % number == 0)
