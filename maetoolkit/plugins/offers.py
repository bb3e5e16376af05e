"""Checking what a hook returned, so that an error has an owner before anybody uses the thing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from maetoolkit.description import Description
from maetoolkit.hookspecs import PROJECT

BASES = {  # what an entry of a kind must derive from, named so that looking costs no import
    "modalities": "maetoolkit.modality.Modality",
    "samplers": "maetoolkit.masking.sampler.Masking",
    "encoders": "maetoolkit.model.encoder.EncoderDescription",
    "decoders": "maetoolkit.model.decoder.DecoderDescription",
    "targets": "maetoolkit.model.target.TargetDescription",
    "objectives": "maetoolkit.model.objective.ObjectiveDescription",
    "callbacks": "maetoolkit.train.callbacks.CallbackDescription",
    "sources": "maetoolkit.data.source.Source",
}


def checked(kind: str, value: Any) -> dict[str, Any]:
    """What a hook returned, if it is what it must return. Raises TypeError naming hook, entry and expectation."""
    hook = f"{PROJECT}_{kind}"
    if not isinstance(value, Mapping):
        raise TypeError(f"{hook} must return a mapping of name to what it offers, found {type(value).__name__}")
    for name, item in value.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"{hook}: names must be non-empty strings, found {name!r}")
        problem = _problem(kind, name, item)
        if problem:
            raise TypeError(f"{hook}[{name!r}]: {problem}")
    return {name: Path(item) if kind == "recipes" else item for name, item in value.items()}


def _problem(kind: str, name: str, item: Any) -> str | None:
    if kind == "cases":
        return None if callable(item) else f"expected a function that makes a case, found {item!r}"
    if kind == "recipes":
        ok = isinstance(item, str | Path) and Path(item).is_file()
        return None if ok else f"expected the path of a YAML file that exists, found {item!r}"
    if kind == "commands":
        ok = any(f"{base.__module__}.{base.__name__}" == "click.core.Command" for base in type(item).__mro__)
        return None if ok else f"expected a click.Command, found {type(item).__name__}"
    if not (inspect.isclass(item) and issubclass(item, Description)):
        return f"expected a subclass of Description, found {item!r}"
    if not derives(item, kind):
        return f"expected a subclass of {BASES[kind]}, found {item.__qualname__}"
    if inspect.isabstract(item):
        missing = ", ".join(sorted(item.__abstractmethods__))
        return f"{item.__qualname__} is abstract; it lacks {missing}"
    annotation: Any = item.model_fields["type"].annotation if "type" in item.model_fields else None
    if get_args(annotation) != (name,) or item.model_fields["type"].default != name:
        return f'{item.__qualname__} must declare `type: Literal["{name}"] = "{name}"`, found {_declaration(item)}'
    if not item.__pydantic_complete__:
        item.model_rebuild()  # raises where an annotation stands for nothing
    return None


def derives(item: type, kind: str) -> bool:
    """Whether a class has the base that its kind must have."""
    base = BASES.get(kind)
    return base is None or any(f"{cls.__module__}.{cls.__qualname__}" == base for cls in item.__mro__)


def _declaration(item: type[Description]) -> str:
    """What a class says of its `type`."""
    if "type" not in item.model_fields:
        return "no `type`"
    annotation: Any = item.model_fields["type"].annotation
    written = str(annotation).replace("typing.", "") if get_args(annotation) else annotation.__name__
    return f"`type: {written} = {item.model_fields['type'].default!r}`"
