"""The vocabulary of data on its way through the model. Axes: B samples, N tokens of a field, T tokens kept, D width."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from maetoolkit.masking.plan import MaskPlan
    from maetoolkit.masking.route import Route
    from maetoolkit.randomness import Draw


def map_tensors(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Apply `function` to every tensor inside nested dataclasses and mappings; host-side numbers stay as they are."""
    if hasattr(value, "is_floating_point"):
        return function(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: map_tensors(getattr(value, f.name), function) for f in fields(value)})
    if isinstance(value, Mapping):
        return {name: map_tensors(item, function) for name, item in value.items()}
    return value


@dataclass(frozen=True)
class Field:
    """One named entry of a batch.

    values: (B, ...) raw or prepared; entries that are not present hold anything.
    present: bool, (B,) for whole entries or (B, N) for single tokens (padding).
    valid: bool, broadcastable to `values`: elements that were measured (None: all of them).
    """

    values: Tensor
    present: Bool[Tensor, "B"] | Bool[Tensor, "B N"]
    valid: Bool[Tensor, "B ..."] | None = None

    @classmethod
    def of(cls, values: Tensor) -> Self:
        """A field that is wholly present."""
        import torch

        return cls(values, torch.ones(len(values), dtype=torch.bool, device=values.device))

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Patches:
    """A field cut into the raw content of its tokens; no weights yet.

    values: (B, N, ...) content; positions: (B, N, axes) coordinates on the field's own grid;
    present: (B, N); grid: the grid's shape, where there is one;
    valid: (B, N, ...), broadcastable to `values`, or None where every element counts.
    """

    values: Tensor
    positions: Int[Tensor, "B N axes"] | Float[Tensor, "B N axes"]
    present: Bool[Tensor, "B N"]
    grid: tuple[int, ...] | None = None
    valid: Bool[Tensor, "B N ..."] | None = None

    @property
    def num_tokens(self) -> int:
        """N, the tokens of one sample."""
        return self.values.shape[1]


@dataclass(frozen=True)
class Segments:
    """How a flat token axis divides into samples: sample i owns the next `lengths[i]` tokens (host side)."""

    lengths: tuple[int, ...]

    @property
    def total(self) -> int:
        """Number of tokens of all samples."""
        return sum(self.lengths)

    @property
    def uniform(self) -> int | None:
        """The common length where all samples have the same one, so that `(B, length)` is a plain reshape."""
        return self.lengths[0] if self.lengths and len(set(self.lengths)) == 1 else None

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True)
class Packed:
    """The kept tokens of a batch back to back: `x` (T, D), sample after sample, global tokens first in each."""

    x: Float[Tensor, "T D"]
    segments: Segments

    def replace(self, x: Float[Tensor, "T D"]) -> Packed:
        """The same tokens with new features."""
        return Packed(x, self.segments)


@dataclass(frozen=True)
class Batch:
    """What the loader hands to the model: fields by name, the samples' keys, and the plan drawn on the host.

    Fields may be raw; the model prepares them. `draw` keys all randomness inside the model.
    targets: output -> (B, N, D) a teacher's features, for outputs that are predicted from one.
    weight: (B,) what the loss of each sample is multiplied with (None: 1).
    """

    fields: Mapping[str, Field]
    keys: tuple[str, ...]
    draw: Draw | None = None
    plan: MaskPlan | None = None
    route: Route | None = None
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    weight: Float[Tensor, "B"] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Move all tensors."""
        moved: Batch = map_tensors(self, lambda tensor: tensor.to(device, non_blocking=non_blocking))
        return moved

    def pin_memory(self) -> Batch:
        """Pin all tensors (the hook torch's DataLoader looks for)."""
        pinned: Batch = map_tensors(self, lambda tensor: tensor.pin_memory())
        return pinned
