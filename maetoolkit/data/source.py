"""Source: the description of where samples come from; Samples: the opened collection, read by index."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from maetoolkit.description import Description, pairs
from maetoolkit.errors import ConfigError

if TYPE_CHECKING:
    from typing import Self

    import numpy as np

    from maetoolkit.modality import ModalitySet

Subset = Literal["train", "validation"]


def _below(name: str) -> str:
    if not name or name.startswith("/") or "\\" in name or ".." in name.split("/"):
        raise ValueError(f"expected the name of a folder below the data's root, found {name!r}")
    return name


FolderName = Annotated[str, AfterValidator(_below)]
"""A folder below the root: never absolute, never upwards."""

StreamByEntry = Annotated[
    tuple[tuple[str, FolderName], ...],
    BeforeValidator(pairs),
    PlainSerializer(dict),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}),
]
"""A mapping from entries to streams, kept as pairs so that a description can be hashed."""


class Samples(ABC):
    """An opened collection of samples; picklable, so that workers can hold it."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def key(self, index: int) -> str:
        """The sample's name: unique, the same on every machine; all randomness of the sample is keyed by it."""

    @abstractmethod
    def read(self, index: int) -> dict[str, np.ndarray | None]:
        """Raw values by entry name; None is an entry this sample does not have. Raises DataError."""


class Source(Description, ABC):
    """Where samples come from, and the crop and flip their aligned fields share.

    crop_scale: share of the frame's area that a training crop takes, uniform in this range.
    crop_ratio: width over height of the crop relative to that of the declared size, log-uniform in this range.
    flip: probability of mirroring left and right.
    streams: entry name -> name of the folder or stream it is read from, where the two differ.
    """

    workers: int = Field(2, ge=0, description="processes that read and transform samples; 0: the training process")
    crop_scale: tuple[float, float] = (0.2, 1.0)
    crop_ratio: tuple[float, float] = (0.75, 1.3333)
    flip: float = Field(0.5, ge=0, le=1)
    streams: StreamByEntry = ()

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        if not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError(f"crop_scale: expected 0 < low <= high <= 1, found {self.crop_scale}")
        if not 0 < self.crop_ratio[0] <= self.crop_ratio[1]:
            raise ValueError(f"crop_ratio: expected 0 < low <= high, found {self.crop_ratio}")
        return self

    @abstractmethod
    def open(self, modalities: ModalitySet, subset: Subset) -> Samples | None:
        """The samples of a subset, with the entries that `modalities` names; None where there is no such subset."""

    def stream_names(self, modalities: ModalitySet) -> dict[str, str]:
        """Entry name -> stream name, for every entry with data of its own. Raises ConfigError for unknown entries."""
        streams = dict(self.streams)
        check_names(streams, modalities)
        return {name: streams.get(name, name) for name in modalities.fields}


def check_names(streams: Mapping[str, str], modalities: ModalitySet) -> None:
    """Raise ConfigError where `streams` speaks of an entry that has no data of its own."""
    for name in streams:
        if name not in modalities.fields:
            near = get_close_matches(name, modalities.fields, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            there = ", ".join(modalities.fields)
            raise ConfigError(f"data.streams.{name}: no modality of that name is read; {hint}there are: {there}")
