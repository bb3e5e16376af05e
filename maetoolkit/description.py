"""Description: the frozen, validated settings of anything that can be registered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from typing import Self


class Description(BaseModel):
    """Settings of a modality, sampler, encoder, decoder, objective or data source; holds no weights.

    Every registered subclass declares `type: Literal["name"] = "name"`, the name a recipe uses.
    Descriptions are immutable and hashable (tuples, never lists), import no torch, and build their
    torch part on request (`build...`).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )

    def replace(self, **changes: Any) -> Self:
        """A validated copy with some settings changed."""
        return type(self).model_validate({**self.model_dump(), **changes})


def pairs(value: Any) -> Any:
    """A mapping as a tuple of pairs, which can be hashed; anything but these two is no mapping."""
    if isinstance(value, tuple):
        return value
    if not isinstance(value, Mapping):
        raise PydanticCustomError("mapping_type", "Input should be a mapping")
    return tuple(value.items())


NumberByName = Annotated[
    tuple[tuple[str, float], ...],
    BeforeValidator(pairs),
    PlainSerializer(dict),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "number"}}),
]
"""A mapping from names to numbers, kept as pairs so that a description can be hashed; `dict(...)` gives it back."""
