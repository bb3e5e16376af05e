"""Samplers made of samplers: one for each entry, for some entries, several at once, one entry at a time, by phase."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, PlainSerializer, ValidationError, model_validator
from pydantic import Field as Setting

from maetoolkit.description import Description, NumberByName
from maetoolkit.masking.sampler import Masking, check_names
from maetoolkit.modality import ModalitySet
from maetoolkit.plugins import Nested

if TYPE_CHECKING:
    from maetoolkit.masking.composed import ComposedSampler
    from maetoolkit.masking.sampler import MaskSampler

Inner = Annotated[Masking, Nested("samplers")]
InnerByName = Annotated[dict[str, Inner], AfterValidator(lambda parts: tuple(parts.items())), PlainSerializer(dict)]
"""A mapping from names to samplers, kept as pairs so that a description can be hashed; `dict(...)` gives it back."""


class Composition(Masking, ABC):
    """A sampler made of others. `in_place` and `score: all` hold for all of them; each may have its own besides."""

    @property
    def uses_mask_tokens(self) -> bool:  # noqa: D102
        return self.in_place or any(part.uses_mask_tokens for _, part, _ in self.parts())

    def holds(self, name: str) -> bool:  # noqa: D102
        return self.in_place or all(
            part.holds(name) for _, part, names in self.parts() if names is None or name in names
        )

    @abstractmethod
    def parts(self) -> Iterator[tuple[str, Masking, Collection[str] | None]]:
        """(key, sampler, inputs that it masks, or None for all) of every sampler in it."""

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        for path, part, names in self.parts():
            try:
                part.check(modalities if names is None else modalities.only(names))
            except ValueError as error:
                key, separator, rest = str(error).partition(": ")
                is_key = separator and all(word.isidentifier() for word in key.split("."))
                raise ValueError(f"{path}.{key}: {rest}" if is_key else f"{path}: {error}") from None

    def build(self) -> MaskSampler:  # noqa: D102
        return self.composed([part.build() for _, part, _ in self.parts()])

    def build_for(self, modalities: ModalitySet) -> MaskSampler:  # noqa: D102
        parts = [
            part.build_for(modalities if names is None else modalities.only(names)) for _, part, names in self.parts()
        ]
        return self.composed(parts, modalities)

    @abstractmethod
    def composed(self, parts: list[MaskSampler], modalities: ModalitySet | None = None) -> ComposedSampler:
        """The sampler, made of those of its parts; `modalities` is what they were built for, where that is known."""


class Each(Composition):
    """A sampler of its own for each input, as in `samplers: {rgb: {type: block}, depth: {type: share}}`."""

    type: Literal["each"] = "each"
    samplers: InnerByName

    def parts(self) -> Iterator[tuple[str, Masking, Collection[str] | None]]:  # noqa: D102
        for name, part in dict(self.samplers).items():
            yield f"samplers.{name}", part, (name,)

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        check_names("samplers", dict.fromkeys(dict(self.samplers), 0.0), modalities)
        if missing := [name for name in modalities.inputs if name not in dict(self.samplers)]:
            raise ValueError(
                f"samplers: expected a sampler for each input, found none for {', '.join(missing)}; "
                f"{{type: share, ratio: 0}} shows all of it"
            )
        super().check(modalities)

    def composed(  # noqa: D102
        self, parts: list[MaskSampler], modalities: ModalitySet | None = None
    ) -> ComposedSampler:
        from maetoolkit.masking.composed import EachSampler

        return EachSampler(self, parts)


class Restrict(Composition):
    """A sampler for the inputs `entries` alone; the others are wholly visible, or wholly hidden."""

    type: Literal["restrict"] = "restrict"
    entries: Annotated[tuple[str, ...], Setting(min_length=1)]
    sampler: Inner
    others: Literal["visible", "hidden"] = "visible"

    def parts(self) -> Iterator[tuple[str, Masking, Collection[str] | None]]:  # noqa: D102
        yield "sampler", self.sampler, self.entries

    def holds(self, name: str) -> bool:  # noqa: D102
        return super().holds(name) and (self.in_place or name in self.entries or self.others == "visible")

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        check_names("entries", dict.fromkeys(self.entries, 0.0), modalities)
        super().check(modalities)

    def composed(  # noqa: D102
        self, parts: list[MaskSampler], modalities: ModalitySet | None = None
    ) -> ComposedSampler:
        from maetoolkit.masking.composed import RestrictSampler

        return RestrictSampler(self, parts)


class Union(Composition):
    """Several samplers at once: hidden is what any of them hides, predicted what any of them predicts."""

    type: Literal["union"] = "union"
    samplers: tuple[Inner, ...]

    @model_validator(mode="after")
    def _not_empty(self) -> Union:
        if not self.samplers:
            raise ValueError("samplers: expected at least one sampler, found none")
        return self

    def parts(self) -> Iterator[tuple[str, Masking, Collection[str] | None]]:  # noqa: D102
        for number, part in enumerate(self.samplers):
            yield f"samplers.{number}", part, None

    def composed(  # noqa: D102
        self, parts: list[MaskSampler], modalities: ModalitySet | None = None
    ) -> ComposedSampler:
        from maetoolkit.masking.composed import UnionSampler

        return UnionSampler(self, parts)


class Conditional(Composition):
    """Mask one of the inputs in each sample and show the rest whole (UNITER, Chen et al. 2020, section 3.2).

    The input is drawn from those present in the sample, with `probabilities` by name relative to each other (empty:
    all alike; inputs that are not named are never masked), and masked as the sampler in it says.
    """

    type: Literal["conditional"] = "conditional"
    sampler: Inner
    probabilities: NumberByName = ()

    @model_validator(mode="after")
    def _positive(self) -> Conditional:
        for name, probability in self.probabilities:
            if probability <= 0:
                raise ValueError(f"probabilities.{name}: expected a number above 0, found {probability}")
        return self

    def parts(self) -> Iterator[tuple[str, Masking, Collection[str] | None]]:  # noqa: D102
        yield "sampler", self.sampler, None

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        check_names("probabilities", dict(self.probabilities), modalities)
        super().check(modalities)

    def composed(  # noqa: D102
        self, parts: list[MaskSampler], modalities: ModalitySet | None = None
    ) -> ComposedSampler:
        from maetoolkit.masking.composed import ConditionalSampler

        return ConditionalSampler(self, parts)


class Phase(Description):
    """A sampler from the share `start` of the run on; its settings named in `to` move there until the phase ends."""

    start: Annotated[float, Setting(ge=0, lt=1)] = 0.0
    sampler: Inner
    to: NumberByName = ()

    @model_validator(mode="after")
    def _reachable(self) -> Phase:
        for name, _ in self.to:
            found = getattr(self.sampler, name, None) if name in type(self.sampler).model_fields else None
            if not isinstance(found, int | float) or isinstance(found, bool):
                numbers = [key for key, value in self.sampler if type(value) in (int, float)]
                raise ValueError(f"to.{name}: the sampler has no number of that name; it has {', '.join(numbers)}")
        try:
            self.at(1.0)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(["to", *map(str, first["loc"])])
            raise ValueError(f"{name}: found {first['input']}; {first['msg']}") from None
        return self

    def at(self, share: float) -> Masking:
        """The sampler's settings when `share` of the phase is done."""
        moved = {}
        for name, last in self.to:
            first = getattr(self.sampler, name)
            value = first + share * (last - first)
            moved[name] = round(value) if isinstance(first, int) else value
        return self.sampler.replace(**moved) if moved else self.sampler


class Schedule(Composition):
    """Samplers by the share of the run that is done: each phase holds until the next one starts.

    `phases: [{sampler: {type: share, ratio: 0.5}, to: {ratio: 0.9}}]` hides more and more.
    """

    type: Literal["schedule"] = "schedule"
    phases: tuple[Phase, ...]

    @model_validator(mode="after")
    def _in_order(self) -> Schedule:
        starts = [phase.start for phase in self.phases]
        if not starts or starts[0] != 0 or any(a >= b for a, b in pairwise(starts)):
            raise ValueError(f"phases: expected starts from 0 in rising order, found {starts}")
        return self

    def parts(self) -> Iterator[tuple[str, Masking, Collection[str] | None]]:  # noqa: D102
        for number, phase in enumerate(self.phases):
            yield f"phases.{number}.sampler", phase.sampler, None

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        super().check(modalities)
        for number, phase in enumerate(self.phases):
            try:
                phase.at(1.0).check(modalities)
            except ValueError as error:
                raise ValueError(f"phases.{number}.to: {error}") from None

    def composed(  # noqa: D102
        self, parts: list[MaskSampler], modalities: ModalitySet | None = None
    ) -> ComposedSampler:
        from maetoolkit.masking.composed import ScheduleSampler

        return ScheduleSampler(self, parts, modalities)

    def now(self, progress: float) -> tuple[int, float]:
        """The number of the phase, and the share of it that is done."""
        number = max(n for n, phase in enumerate(self.phases) if phase.start <= max(progress, 0.0))
        start = self.phases[number].start
        end = self.phases[number + 1].start if number + 1 < len(self.phases) else 1.0
        return number, min((progress - start) / (end - start), 1.0)
