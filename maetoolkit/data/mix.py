"""Mix: several sources in one run, each with its share of the samples and its weight in the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import AfterValidator, PlainSerializer, PositiveFloat, model_validator

from maetoolkit.data.source import Samples, Source, Subset
from maetoolkit.description import Description, pairs
from maetoolkit.errors import ConfigError, DataError
from maetoolkit.plugins import nested
from maetoolkit.randomness import generator

if TYPE_CHECKING:
    import numpy as np

    from maetoolkit.modality import ModalitySet

OWN = ("crop_scale", "crop_ratio", "flip", "workers")  # settings that hold for the whole mix


class Part(Description):
    """One source of a mix.

    share: how many samples come from it, relative to the other parts; weight: what their loss is multiplied with;
    entries: what it has of the modalities (all of them by default); the others are absent in its samples.
    """

    source: nested("sources")  # type: ignore[valid-type]
    share: PositiveFloat = 1.0
    weight: PositiveFloat = 1.0
    entries: tuple[str, ...] | None = None


if TYPE_CHECKING:
    Parts = tuple[tuple[str, Part], ...]
else:  # pydantic reads a mapping, whose errors carry their key; pairs can be hashed
    Parts = Annotated[
        dict[str, Part],
        AfterValidator(pairs),
        PlainSerializer(lambda parts: {name: part.model_dump(mode="json") for name, part in parts}),
    ]


class Mix(Source):
    """Paired and unpaired data in one run (M3AE, section 4.3): samples of all sources, shuffled together.

    One epoch is one pass over the first source; the others contribute in proportion to their shares, each in an order
    of its own that goes on from epoch to epoch. Crop, flip and workers are those of the mix, not of its sources.
    """

    type: Literal["mix"] = "mix"
    sources: Parts

    @model_validator(mode="after")
    def _consistent(self) -> Mix:
        if not self.sources:
            raise ValueError("sources: expected at least one named source, found none")
        for name, part in self.sources:
            fields = type(part.source).model_fields  # not what was set: a description written out whole sets everything
            own = [key for key in OWN if getattr(part.source, key) != fields[key].default]
            if own:
                raise ValueError(f"sources.{name}.source.{own[0]}: holds for the whole mix; set data.{own[0]} instead")
            if not name or "/" in name:
                raise ValueError(f"sources: expected names without '/', found {name!r}")
        return self

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        super().check(modalities)
        for name, part in self.sources:
            for entry in part.entries or ():
                if entry not in modalities.fields:
                    there = ", ".join(modalities.fields)
                    raise ConfigError(f"sources.{name}.entries: no modality {entry!r} with data; there are: {there}")
            known = modalities if part.entries is None else modalities.only(part.entries)
            if not known.inputs:
                inputs = ", ".join(modalities.inputs)
                raise ConfigError(f"sources.{name}.entries: expected at least one input ({inputs}), found none")
            try:
                cast("Source", part.source).check(modalities)
            except ConfigError as error:
                raise ConfigError(f"sources.{name}.source.{error}") from None

    def open(self, modalities: ModalitySet, subset: Subset) -> Samples | None:  # noqa: D102
        opened = []
        for name, part in self.sources:
            source = cast("Source", part.source)
            known = modalities if part.entries is None else modalities.only(part.entries)
            try:
                samples = source.open(known, subset)
            except (ConfigError, DataError) as error:
                raise type(error)(f"data.sources.{name}: {error}") from None
            if samples is not None and len(samples):
                opened.append(OpenPart(name, samples, source, part.share, part.weight))
            elif subset == "train":
                raise DataError(f"data.sources.{name}: its training set is empty; expected at least one sample")
        return MixSamples(tuple(opened), subset == "train", modalities.fields) if opened else None


@dataclass(frozen=True)
class OpenPart:
    """An opened source of a mix."""

    name: str
    samples: Samples
    source: Source
    share: float
    weight: float


class MixSamples(Samples):
    """The samples of all parts, one after the other; an epoch draws from each as its share says."""

    def __init__(self, parts: tuple[OpenPart, ...], training: bool, entries: tuple[str, ...]) -> None:
        self.parts, self.training, self.entries = parts, training, entries
        self.starts = [sum(len(part.samples) for part in parts[:number]) for number in range(len(parts))]
        first = parts[0]
        one_share = first.samples.num_per_epoch / first.share
        self.drawn = [first.samples.num_per_epoch, *(max(1, round(one_share * part.share)) for part in parts[1:])]

    def __len__(self) -> int:
        return sum(len(part.samples) for part in self.parts)

    @property
    def num_per_epoch(self) -> int:  # noqa: D102
        return sum(self.drawn)

    @property
    def sizes(self) -> tuple[int, ...]:  # noqa: D102
        return tuple(size for part in self.parts for size in part.samples.sizes)

    def places(self, seed: int, epoch: int) -> np.ndarray:  # noqa: D102
        import numpy as np

        chosen = []
        for part, start, num in zip(self.parts, self.starts, self.drawn, strict=True):
            first, whole = epoch * num, part.samples.num_per_epoch
            epochs = range(first // whole, (first + num - 1) // whole + 1)
            stream = np.concatenate([part.samples.places(seed, own) for own in epochs])
            begin = first - epochs[0] * whole
            chosen.append(stream[begin : begin + num] + np.array([0, start]))
        every = np.concatenate(chosen)
        return every[generator(seed, "mix", epoch).permutation(len(every))]

    def key(self, index: int) -> str:  # noqa: D102
        part, own = self._find(index)
        return f"{part.name}/{part.samples.key(own)}"

    def weight(self, index: int) -> float:  # noqa: D102
        part, own = self._find(index)
        return part.weight * part.samples.weight(own)

    def read(self, index: int) -> dict[str, np.ndarray | None]:  # noqa: D102
        part, own = self._find(index)
        values = {**dict.fromkeys(self.entries), **part.samples.read(own)}
        return part.source.kept(values, part.samples.key(own)) if self.training else values

    def _find(self, index: int) -> tuple[OpenPart, int]:
        number = max(n for n, start in enumerate(self.starts) if start <= index)
        return self.parts[number], index - self.starts[number]
