"""SourceCase: one data source, opened on data that its author made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from maetoolkit.data.source import Samples, Source, Subset
from maetoolkit.modality import ModalitySet
from maetoolkit.testing.law import code_of, require

Remove = Callable[[str, str], Callable[[], None] | None]
"""`remove(key, entry)` deletes one entry of one sample where the data lie; it may return a function that undoes it."""
Truth = Callable[[str, str], "np.ndarray | None"]
"""`truth(key, entry)` is the raw value that the source must give, None where the sample lacks the entry."""
Values = Mapping[str, "np.ndarray | None"]


@dataclass(frozen=True)
class SourceCase:
    """A data source under test.

    description: what is tried; modalities: what is read from it; subset: which of its subsets;
    remove: drops one entry of one sample, see `Remove` (the source must allow missing ones);
    truth: what a value must be, see `Truth`;
    most: how many samples are read at most; seed: keys the order in which they are;
    expected: laws that fail by design, each with the reason.
    """

    description: Source
    modalities: ModalitySet
    subset: Subset = "train"
    remove: Remove | None = None
    truth: Truth | None = None
    most: int = 8
    seed: int = 0
    expected: Mapping[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Python that makes this case again."""
        return f"case = SourceCase({code_of(self.description)}, {code_of(self.modalities)}, {self.subset!r})"

    def opened(self, description: Source | None = None, modalities: ModalitySet | None = None) -> Samples:
        """The samples, opened anew."""
        description, modalities = description or self.description, modalities or self.modalities
        description.check(modalities)
        samples = description.open(modalities, self.subset)
        require(isinstance(samples, Samples), f"`open` of {self.subset!r} gives {samples!r}, expected Samples")
        assert samples is not None
        require(len(samples) > 0, f"`open` of {self.subset!r} gives no sample; it must refuse that, or return None")
        return samples

    def read(self, samples: Samples) -> dict[str, dict[str, np.ndarray | None]]:
        """The first samples by key."""
        return {samples.key(index): dict(samples.read(index)) for index in range(min(self.most, len(samples)))}


def require_same(what: str, expected: Values, found: Values) -> None:
    """Raise LawError where two readings of a sample differ by a bit."""
    require(set(found) == set(expected), f"{what} has the entries {sorted(found)}, before {sorted(expected)}")
    for name, value in expected.items():
        require(same_value(value, found[name]), f"{name!r} of {what} is another value: {_looks(found[name])}")


def same_value(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Whether two raw values are the same bits."""
    if one is None or other is None:
        return one is other
    same = one.dtype == other.dtype and one.shape == other.shape
    return same and bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))


def _looks(value: np.ndarray | None) -> str:
    return "None" if value is None else f"{value.dtype} of shape {value.shape}"
