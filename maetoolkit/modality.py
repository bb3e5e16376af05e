"""Modality: the description of one kind of data, and ModalitySet: the named modalities of a model."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar, Literal

from maetoolkit.description import Description

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float, Int
    from torch import Tensor, nn

    from maetoolkit.model.target import TargetDescription
    from maetoolkit.tokens import Field, Patches

_TAKEN = """
add_module apply bfloat16 buffers call_super_init children clear compile copy cpu cuda double dump_patches eval
extra_repr float forward fromkeys get get_buffer get_extra_state get_parameter get_submodule half ipu items keys
load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters pop popitem
register_backward_hook register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state
set_submodule setdefault share_memory state_dict to to_empty train training type update values xpu zero_grad
T_destination
"""
TAKEN = frozenset(_TAKEN.split())
"""Names that torch's containers of modules have for themselves; a test compares them with the installed torch."""

Role = Literal["both", "input", "target"]
Side = Literal["encoder", "decoder"]
Scored = Literal["masked", "visible", "all"]


@dataclass(frozen=True)
class Geometry:
    """The crop and flip that all aligned fields of a sample share, and what keys its other random choices.

    The box is in fractions of the frame, so that fields of different resolution are cropped alike.
    path: seed, epoch and key of the sample in training; None where nothing may be random (evaluation).
    """

    top: float = 0.0
    left: float = 0.0
    height: float = 1.0
    width: float = 1.0
    flip: bool = False
    path: tuple[int | str, ...] | None = None

    def random(self, purpose: str) -> np.random.Generator | None:
        """The sample's own stream for one purpose (which caption, where a clip begins); None in evaluation."""
        from maetoolkit.randomness import generator

        return None if self.path is None else generator(*self.path, "transform", purpose)


@dataclass(frozen=True)
class Marks:
    """What a reader of a picture must be told of one sample's tokens; all are (N,) on the host.

    present: tokens that exist; hidden: those to be covered; predicted: those whose values the model made, with
    `confidence` in [0, 1] where it is known. positions: (N, axes) where the tokens are, as `patchify` says.
    """

    present: Bool[Tensor, "N"]
    hidden: Bool[Tensor, "N"]
    predicted: Bool[Tensor, "N"]
    confidence: Float[Tensor, "N"] | None = None
    positions: Float[Tensor, "N axes"] | Int[Tensor, "N axes"] | None = None


class Modality(Description, ABC):
    """How one kind of data is read, cut into patches, embedded, placed, predicted and scored.

    `role` says whether entries are given to the encoder, predicted, or both. An entry with `of`
    is an output that reads another entry's field and shares its tokens and mask. `score` says which of its
    present tokens are predicted: the hidden ones, the visible ones or all; by default as the masking says.
    """

    role: Role = "both"
    of: str | None = None
    score: Scored | None = None

    suffixes: ClassVar[tuple[str, ...]] = ()
    reconstructs: ClassVar[bool] = True
    """Whether a prediction stands for patch values (`to_values`), so that there is something to show of it."""

    # data side ---------------------------------------------------------------------------------

    def read(self, data: bytes) -> np.ndarray:
        """Decode one file's bytes without losing type: 16-bit stays 16-bit, palettes stay labels.

        Raises ValueError saying what was expected and what was found (the caller adds the file).
        """
        raise ValueError(f"modality type {self.type!r} cannot be read from files")  # type: ignore[attr-defined]

    def frame(self, value: np.ndarray) -> tuple[int, int] | None:
        """Height and width of a raw value where it shares the sample's frame; None where it has none."""
        return None

    def space(self, value: np.ndarray) -> tuple[int, ...] | None:
        """Extent of a raw value without a frame, which all entries of a sample with as many axes share (volumes)."""
        return None

    @property
    def aspect(self) -> float | None:
        """Width over height of the declared size, where values share the sample's frame; None where they have none."""
        return None

    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        """Apply the sample's crop and flip as this kind of data takes them, and bring it to the declared size."""
        return value

    @abstractmethod
    def collate(self, values: Sequence[np.ndarray | None]) -> Field:
        """Batch transformed values; None is an absent entry."""

    # model side --------------------------------------------------------------------------------

    @property
    @abstractmethod
    def num_tokens(self) -> int:
        """Tokens of one entry of the declared size."""

    @property
    @abstractmethod
    def content(self) -> tuple[int, ...]:
        """Shape of one token's patch values."""

    def layout(self, field: Field | None) -> tuple[tuple[int, ...] | None, int]:
        """Token grid (or None) and number of tokens of a field, or of the declared size where there is none."""
        return None, self.num_tokens if field is None or field.present.ndim == 1 else field.present.shape[1]

    def check(self, field: Field) -> None:
        """Raise ValueError where values given from Python cannot be of this kind (shape, type, range)."""
        self.layout(field)

    def prepare(self, field: Field) -> Field:
        """Normalise whole entries before cutting (mean and std, robust depth); sets `valid`."""
        return field

    @abstractmethod
    def patchify(self, field: Field) -> Patches:
        """Cut a prepared field into patches."""

    def unpatchify(self, values: Tensor, grid: tuple[int, ...] | None) -> Tensor:
        """Put patch values (B, N, ...) back together; the inverse of `patchify` on values."""
        return values

    @abstractmethod
    def build_tokenizer(self, dim: int) -> nn.Module:
        """Module: patch values (T, *content) -> tokens (T, dim). It sees one patch at a time."""

    @abstractmethod
    def build_position(self, dim: int, side: Side) -> nn.Module:
        """Module: `forward(positions (T, axes), grid) -> (T, dim)`."""

    @abstractmethod
    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:
        """Module: decoded features (T, dim) -> predictions of tokens whose patch values have shape `content`."""

    def taught_by(self) -> TargetDescription | None:
        """What makes this output's targets, where they are not its patches; then it `reconstructs` nothing."""
        return None

    def target(self, values: Tensor) -> Tensor:
        """What the head should predict, from the patch values (T, *content) of the target tokens."""
        return values

    @abstractmethod
    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """float32 (sum, count) per token, each (T,); elements that are not `valid` count in neither."""

    def token_count(self, target: Tensor, valid: Tensor | None) -> Tensor:
        """The count of `token_loss`, known before any prediction is: valid elements per token, float32 (T,)."""
        import torch

        if valid is None:
            return torch.full(target.shape[:1], math.prod(target.shape[1:]), dtype=torch.float32, device=target.device)
        return valid.expand_as(target)[:, None].flatten(1).sum(1, dtype=torch.float32)  # content may have no axes

    def ideal(self, target: Tensor) -> Tensor:
        """The prediction that no other one scores better than."""
        return target

    # for people --------------------------------------------------------------------------------

    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:
        """Patch values (N, *content) that a prediction stands for, given the true ones (undoes `target`)."""
        return prediction

    def picture(self, values: Tensor, grid: tuple[int, ...] | None, truth: Tensor | None = None) -> np.ndarray | None:
        """uint8 (H, W, 3) of one sample's prepared patch values (N, *content); `truth` fixes the range of colours."""
        return None

    def confidence(self, prediction: Tensor) -> Tensor | None:
        """How sure the model is of each prediction, (T,) in [0, 1]; None where this kind of data cannot tell."""
        return None

    def draw(
        self, values: Tensor, grid: tuple[int, ...] | None, marks: Marks, truth: Tensor | None = None
    ) -> np.ndarray | None:
        """uint8 (H, W, 3) of one sample with its tokens told apart as `marks` says, for data that is no picture.

        None leaves it to `picture`, whose pixels are covered where they belong to hidden tokens of a grid.
        """
        return None

    def legend(self) -> Sequence[tuple[str, tuple[int, int, int]]]:
        """Names and colours that a reader of the picture needs."""
        return ()


class ModalitySet(Mapping[str, Modality]):
    """The modalities of a model by name, in the order in which their tokens enter the encoder.

    Raises ValueError where an entry's `of` names no input, or nothing is given or predicted.
    """

    def __init__(self, **entries: Modality) -> None:
        self._entries = dict(entries)
        for name, modality in entries.items():
            if not isinstance(modality, Modality):
                raise ValueError(f"modalities.{name}: expected a Modality, found {type(modality).__name__}")
            if not name.isidentifier() or name.startswith("_") or name in TAKEN:
                raise ValueError(f"modalities.{name}: cannot be a name, as torch's modules use it; choose another")
            if modality.of is not None and (modality.of not in entries or entries[modality.of].of is not None):
                raise ValueError(
                    f"modalities.{name}.of: {modality.of!r} is no entry with a field; {self._hint(modality.of)}"
                )
        if not self.inputs:
            raise ValueError("modalities: none is given to the encoder; set role 'both' or 'input' for at least one")
        if not self.outputs:
            raise ValueError("modalities: none is predicted; set role 'both' or 'target' for at least one")

    def __getitem__(self, name: str) -> Modality:
        if name not in self._entries:
            raise KeyError(f"unknown modality {name!r}; {self._hint(name)}")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"ModalitySet({', '.join(f'{name}={modality!r}' for name, modality in self.items())})"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the entries that the encoder may be given."""
        return tuple(n for n, m in self._entries.items() if m.role != "target" and m.of is None)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the entries that are predicted."""
        return tuple(n for n, m in self._entries.items() if m.role != "input")

    @property
    def reconstructed(self) -> tuple[str, ...]:
        """Names of the outputs whose predictions stand for patch values."""
        return tuple(n for n in self.outputs if self._entries[n].reconstructs and self._entries[n].taught_by() is None)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the entries that have data of their own."""
        return tuple(n for n, m in self._entries.items() if m.of is None)

    def source(self, name: str) -> str:
        """The entry whose field, tokens and mask `name` uses: itself, or the one it is `of`."""
        return self[name].of or name

    def only(self, names: Collection[str]) -> ModalitySet:
        """The entries of these names and those that are `of` them; nothing need be given or predicted among them."""
        part = object.__new__(ModalitySet)
        part._entries = {n: m for n, m in self._entries.items() if (m.of or n) in names}
        return part

    @property
    def sources(self) -> dict[str, str]:
        """Output name -> entry whose tokens it predicts."""
        return {name: self.source(name) for name in self.outputs}

    def _hint(self, name: str) -> str:
        near = get_close_matches(name, self._entries, n=1)
        return (f"did you mean {near[0]!r}? " if near else "") + f"there are: {', '.join(self._entries)}"
