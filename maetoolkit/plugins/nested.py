"""Descriptions in descriptions: a field that holds another registered thing, chosen by its `type`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from maetoolkit.description import Description
from maetoolkit.hookspecs import KINDS
from maetoolkit.plugins.kinds import Registry, singular
from maetoolkit.plugins.offers import derives

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
    from pydantic_core import CoreSchema


def nested(kind: str) -> Any:
    """The type of a field that holds a registered description of `kind` ("samplers", "sources", "targets", ...).

    `masking: nested("samplers")` takes `{type: share, ratio: 0.75}` or an instance, is written with all its own
    fields, and is as hashable as they are; a plugin may offer what it holds. For a type checker, write the same as
    `masking: Annotated[Masking, Nested("samplers")]`. Raises ValueError where there is no such kind.
    """
    return Annotated[Description, Nested(kind)]


@dataclass(frozen=True)
class Nested:
    """What marks such a field; see `nested`."""

    kind: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.kind in ("recipes", "commands"):
            raise ValueError(f"nested: there is no kind {self.kind!r} of descriptions; kinds are: {', '.join(KINDS)}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.with_info_plain_validator_function(self.chosen)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        known = {"type": "string", "enum": sorted(getattr(_known(None), self.kind))}
        return {"type": "object", "properties": {"type": known}, "required": ["type"]}

    def chosen(self, value: Any, info: ValidationInfo) -> Description:
        """The description that a value is, or that its `type` and settings make."""
        if isinstance(value, Description):
            if not derives(type(value), self.kind):
                raise ValueError(f"found {type(value).__name__}; expected a {singular(self.kind)}")
            return value
        there = getattr(_known(info.context), self.kind)
        if not isinstance(value, Mapping):
            raise ValueError(f"found {value!r}; expected a mapping with a `type`: {', '.join(there)}")
        name = value.get("type")
        if name is None:
            raise ValueError(f"type: missing; expected one of {', '.join(there)}")
        if not isinstance(name, str) or name not in there:
            raise ValueError(f"type: {there.explain(str(name))}")
        chosen: Description = there[name].model_validate(dict(value), context=info.context)
        return chosen


def _known(context: Any) -> Registry:
    """The registry that a recipe is being checked with, or that of this installation."""
    from maetoolkit.plugins.installed import registry

    found = context.get("registry") if isinstance(context, Mapping) else None
    return found if isinstance(found, Registry) else registry()
