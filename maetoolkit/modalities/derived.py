"""Derived: an output that is made of another entry's tokens and has no data of its own."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import model_validator

from maetoolkit.modality import Modality, Role, Side

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from maetoolkit.tokens import Field, Patches


class Derived(Modality, ABC):
    """What only an output needs: `build_head`, `token_loss` and, where it is not the patches themselves, `target`.

    Cutting, placing and masking are those of the entry it is `of`.
    """

    role: Role = "target"

    @model_validator(mode="after")
    def _output_only(self) -> Derived:
        if self.role != "target" or self.of is None:
            raise ValueError(f"{self.type!r} is an output of another entry: keep role 'target' and set `of`")  # type: ignore[attr-defined]
        return self

    @property
    def num_tokens(self) -> int:  # noqa: D102
        raise AssertionError("an entry with `of` uses the tokens of its source")

    @property
    def content(self) -> tuple[int, ...]:  # noqa: D102
        raise AssertionError("an entry with `of` uses the patches of its source")

    def collate(self, values: Sequence[np.ndarray | None]) -> Field:  # noqa: D102
        raise AssertionError("an entry with `of` has no data of its own")

    def patchify(self, field: Field) -> Patches:  # noqa: D102
        raise AssertionError("an entry with `of` uses the patches of its source")

    def build_tokenizer(self, dim: int) -> nn.Module:  # noqa: D102
        raise AssertionError("an output is not given to the encoder")

    def build_position(self, dim: int, side: Side) -> nn.Module:  # noqa: D102
        raise AssertionError("an entry with `of` uses the positions of its source")
