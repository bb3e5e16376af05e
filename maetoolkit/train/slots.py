"""Slots: the places of a recipe that hold a registered description, at whatever depth descriptions are nested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from maetoolkit.plugins import Nested, Registry
from maetoolkit.train.document import Place
from maetoolkit.train.recipe import SECTIONS, Recipe


class Slot(NamedTuple):
    """What stands at a place: the class that describes it, where known, and the kind its `type` chooses from."""

    model: type[BaseModel] | None
    kind: str | None


def slot(path: Place, values: Mapping[str, Any], known: Registry) -> Slot:
    """What the mapping at `path` of a recipe's values describes; (None, None) where nobody knows."""
    found: Any = Recipe
    here: Any = values
    for depth, part in enumerate(path):
        here = _item(here, part)
        if depth == 0 and part in SECTIONS:
            found = Nested(SECTIONS[str(part)])
        elif depth == 1 and path[0] == "modalities":
            found = Nested("modalities")
        else:
            found = next(_below(found, part), None)
        if isinstance(found, Nested) and depth < len(path) - 1:
            found = _chosen(found, here, known)
    for each in _alternatives(found):
        if isinstance(each, Nested):
            return Slot(_chosen(each, here, known), each.kind)
        if isinstance(each, type) and issubclass(each, BaseModel):
            return Slot(each, None)
    return Slot(None, None)


def slots(values: Mapping[str, Any], known: Registry) -> Iterator[tuple[Place, str, str]]:
    """(path, kind, type name) of every registered description that a recipe's values name."""
    paths: list[Place] = [()]
    while paths:
        path = paths.pop(0)
        here = value_at(path, values)
        if isinstance(here, Mapping):
            kind = slot(path, values, known).kind
            if kind is not None and isinstance(here.get("type"), str):
                yield path, kind, here["type"]
            paths += [(*path, key) for key in here]
        elif isinstance(here, list):
            paths += [(*path, index) for index in range(len(here))]


def value_at(path: Place, values: Mapping[str, Any]) -> Any:
    """What is written at a path of a recipe's values; None where nothing is."""
    here: Any = values
    for part in path:
        here = _item(here, part)
    return here


def _chosen(mark: Nested, value: Any, known: Registry) -> type[BaseModel] | None:
    """The class that a value's `type` names; a lone class needs no naming."""
    offered = getattr(known, mark.kind)
    name = value.get("type") if isinstance(value, Mapping) else None
    if isinstance(name, str) and name in offered:
        return offered[name]
    return next(iter(offered.values())) if len(offered) == 1 else None


def _below(annotation: Any, part: str | int) -> Iterator[Any]:
    """The annotations of what a key or index leads to, inside something of this annotation."""
    for each in _alternatives(annotation):
        origin, arguments = get_origin(each), get_args(each)
        if isinstance(each, type) and issubclass(each, BaseModel):
            if part in each.model_fields:
                yield each.model_fields[str(part)]
        elif origin is dict and isinstance(part, str):
            yield arguments[1]
        elif origin in (tuple, list) and isinstance(part, int):
            yield arguments[part] if Ellipsis not in arguments and part < len(arguments) else arguments[0]


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The parts of a union, without their metadata; a mark stands for what it marks."""
    if isinstance(annotation, FieldInfo):
        marks = [mark for mark in annotation.metadata if isinstance(mark, Nested)]
        yield from marks or _alternatives(annotation.annotation)
    elif get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        yield from [mark for mark in metadata if isinstance(mark, Nested)] or _alternatives(inner)
    elif get_origin(annotation) in (Union, UnionType):
        for each in get_args(annotation):
            yield from _alternatives(each)
    elif annotation is not None:
        yield annotation


def _item(value: Any, part: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(part)
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None
