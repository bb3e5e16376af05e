"""Source: the description of where samples come from; Samples: the opened collection, read by index."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from maetoolkit.description import Description, NumberByName, pairs
from maetoolkit.errors import ConfigError
from maetoolkit.randomness import generator
from maetoolkit.randomness import key as hash_key

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

    @property
    def num_per_epoch(self) -> int:
        """Samples that one epoch has; a collection that is drawn from unevenly has another number than its own."""
        return len(self)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of samples that the order of an epoch depends on; a run is resumed only where they are the same."""
        return (len(self),)

    def places(self, seed: int, epoch: int) -> np.ndarray:
        """The (epoch, index) pairs of one epoch, in order: (num_per_epoch, 2), a function of the arguments alone."""
        import numpy as np

        order = generator(seed, "order", epoch).permutation(len(self))
        return np.stack([np.full_like(order, epoch), order], axis=1)

    def weight(self, index: int) -> float:
        """What the loss of a sample is multiplied with."""
        return 1.0

    @abstractmethod
    def read(self, index: int) -> dict[str, np.ndarray | None]:
        """Raw values by entry name; None is an entry this sample does not have. Raises DataError."""


class Source(Description, ABC):
    """Where samples come from, and the crop and flip their aligned fields share.

    crop_scale: share of the frame's area that a training crop takes, uniform in this range.
    crop_ratio: width over height of the crop relative to that of the declared size, log-uniform in this range.
    flip: probability of mirroring left and right.
    streams: entry name -> name of the folder or stream it is read from, where the two differ.
    keep: entry name -> share of the training samples that keep it, chosen by a hash of the key (M3AE, section 4.3);
    in the others it is absent.
    """

    workers: int = Field(2, ge=0, description="processes that read and transform samples; 0: the training process")
    crop_scale: tuple[float, float] = (0.2, 1.0)
    crop_ratio: tuple[float, float] = (0.75, 1.3333)
    flip: float = Field(0.5, ge=0, le=1)
    streams: StreamByEntry = ()
    keep: NumberByName = ()

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        if not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError(f"crop_scale: expected 0 < low <= high <= 1, found {self.crop_scale}")
        if not 0 < self.crop_ratio[0] <= self.crop_ratio[1]:
            raise ValueError(f"crop_ratio: expected 0 < low <= high, found {self.crop_ratio}")
        for name, share in self.keep:
            if not 0 <= share <= 1:
                raise ValueError(f"keep.{name}: expected a share between 0 and 1, found {share}")
        return self

    @abstractmethod
    def open(self, modalities: ModalitySet, subset: Subset) -> Samples | None:
        """The samples of a subset, with the entries that `modalities` names; None where there is no such subset."""

    def check(self, modalities: ModalitySet) -> None:
        """Raise ConfigError where these settings do not fit the modalities."""
        for setting in ("streams", "keep"):
            check_names(setting, dict(getattr(self, setting)), modalities)
        dropped = {name for name, share in self.keep if share < 1}
        if modalities.inputs and dropped >= set(modalities.inputs):
            raise ConfigError(
                f"keep: every input ({', '.join(modalities.inputs)}) would be dropped from some samples, which would "
                "leave samples with nothing to see; leave at least one of them out of keep"
            )

    def kept(self, values: dict[str, np.ndarray | None], key: str) -> dict[str, np.ndarray | None]:
        """The values of a training sample without the entries that `keep` leaves out for it."""
        dropped = {name for name, share in self.keep if hash_key("keep", name, key) >= share * 2**128}
        return {name: None if name in dropped else value for name, value in values.items()}

    def stream_names(self, modalities: ModalitySet) -> dict[str, str]:
        """Entry name -> stream name, for every entry with data of its own."""
        streams = dict(self.streams)
        return {name: streams.get(name, name) for name in modalities.fields}


def check_names(setting: str, names: Collection[str], modalities: ModalitySet) -> None:
    """Raise ConfigError where `names` has an entry that has no data of its own."""
    for name in names:
        if name not in modalities.fields:
            near = get_close_matches(name, modalities.fields, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            there = ", ".join(modalities.fields)
            raise ConfigError(f"{setting}.{name}: no modality of that name is read; {hint}there are: {there}")
