"""Explaining pydantic's errors in one line each: what was found, what is expected, what was probably meant."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from maetoolkit.plugins import Registry
from maetoolkit.train.document import Place
from maetoolkit.train.needed import lost
from maetoolkit.train.recipe import SECTIONS
from maetoolkit.train.slots import slot, value_at

MAPPING, WHOLE = "a mapping (key: value)", "a whole number"
EXPECTED = {
    "bool_type": "true or false", "bool_parsing": "true or false", "string_type": "a string", "none_required": "null",
    "int_type": WHOLE, "int_parsing": WHOLE, "int_from_float": WHOLE, "int_parsing_size": "a smaller number",
    "float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number",
    "tuple_type": "a list, as in [1, 2]", "list_type": "a list, as in [1, 2]", "dict_type": MAPPING,
    "mapping_type": MAPPING, "model_type": MAPPING, "model_attributes_type": MAPPING,
}  # fmt: skip
BOUNDS = {"greater_than": ("gt", "above"), "greater_than_equal": ("ge", "of at least"),
          "less_than": ("lt", "below"), "less_than_equal": ("le", "of at most")}  # fmt: skip


def explain(error: ValidationError, values: dict[str, Any], known: Registry) -> list[tuple[Place, str]]:
    """(path of keys in the document, message) for each key that is wrong; alternatives of one key are told together."""
    grouped: dict[Place, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        path = _locate(detail, values)
        message = str(detail.get("ctx", {}).get("error", ""))
        if detail["type"] == "value_error" and (head := message.partition(": "))[1] and _is_path(head[0]):
            path = (*path, *head[0].split("."))
        grouped.setdefault(path, []).append(detail)
    return [
        (path, _gone(path, values, known) or _message(path, details, values, known))
        for path, details in grouped.items()
    ]


def _gone(path: Place, values: dict[str, Any], known: Registry) -> str | None:
    """What a recipe states of the plugin that offers a type which nobody here does."""
    value, kind = value_at(path, values), slot(path[:-1], values, known).kind
    if path[-1:] != ("type",) or kind is None or not isinstance(value, str):
        return None
    return lost(kind, value, values.get("plugins"), known)


def _locate(detail: ErrorDetails, values: Any) -> Place:
    """The keys of the document that lead to an error: pydantic's location without the union members on the way."""
    path: Place = ()
    location = list(detail["loc"])
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(values, dict) and (part in values or (last and detail["type"] == "missing")):
            tag = (len(path) == 2 and path[0] == "modalities") or path in {(section,) for section in SECTIONS}
            if tag and index == len(path) and part == values.get("type"):
                continue  # the tag of a union, although a key has the same name
            path, values = (*path, part), values.get(part)
        elif isinstance(values, list) and isinstance(part, int) and part < len(values):
            path, values = (*path, part), values[part]
    if detail["type"].startswith("union_tag"):
        path = (*path, "type")
    return path


def _message(path: Place, details: list[ErrorDetails], values: dict[str, Any], known: Registry) -> str:
    first = details[0]
    kind, context = first["type"], first.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key; {near(str(path[-1]), keys_of(path[:-1], values, known), 'keys are')}"
    if kind == "missing":
        short = isinstance(first["loc"][-1], int) and isinstance(first["input"], list)
        return f"found {shown(first['input'])}; expected more values" if short else "missing; expected a value"
    if kind == "union_tag_not_found":
        return f"missing; expected one of {', '.join(_kind(path, known))}"
    if kind == "union_tag_invalid" or (kind == "literal_error" and path[-1] == "type"):  # the latter: a lone class
        return str(_kind(path, known).explain(str(context.get("tag", first["input"]))))
    if kind in ("value_error", "assertion_error"):
        message = str(context.get("error", first["msg"]))
        head, separator, rest = message.partition(": ")
        return rest if separator and _is_path(head) else message
    expected = " or ".join(dict.fromkeys(_expected(detail) for detail in details))
    value = first["input"]
    if value == math.inf and any("'inf'" in str(detail.get("ctx", {}).get("expected", "")) for detail in details):
        return "found .inf; write inf, without the dot"
    return f"found {shown(value)}; expected {expected}"


def _expected(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in BOUNDS:
        key, words = BOUNDS[kind]
        return f"a number {words} {context[key]:g}"
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind in ("too_long", "too_short"):
        return f"{context.get('max_length', context.get('min_length'))} values, not {context['actual_length']}"
    return EXPECTED.get(kind, detail["msg"])


def _kind(path: Place, known: Registry) -> Any:
    """The kind of things that the `type` at this path chooses from."""
    return getattr(known, SECTIONS.get(str(path[0]), "modalities"))


def keys_of(path: Place, values: dict[str, Any], known: Registry) -> list[str]:
    """The keys that may stand in the mapping at `path`."""
    model = slot(path, values, known).model
    return [*(() if path else ("base",)), *(model.model_fields if model else ())]


def near(name: str, names: Iterable[str], label: str) -> str:
    """`did you mean X? keys are: ...`"""
    names = list(names)
    close = get_close_matches(name, names, n=1)
    return (f"did you mean {close[0]}? " if close else "") + f"{label}: {', '.join(names)}"


def shown(value: Any) -> str:
    """A found value, short, as it would be written in a recipe."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_key(text: Any) -> bool:
    """Whether it can be the name of an entry: letters, digits and _, beginning with a letter."""
    return isinstance(text, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) is not None


def _is_path(text: str) -> bool:
    return all(is_key(part) for part in text.split("."))
