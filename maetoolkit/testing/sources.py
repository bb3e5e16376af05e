"""The laws of data sources: who a sample is, and what reading it gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from maetoolkit.errors import ConfigError
from maetoolkit.modality import Geometry, ModalitySet
from maetoolkit.testing.law import Inapplicable, law, require
from maetoolkit.testing.source_case import SourceCase, require_same, same_value


@law(
    "keys",
    why="Order, crops, masks and the held-out share are keyed by them; two samples of one key are one sample.",
    see="samples = case.opened(); keys = [samples.key(i) for i in range(len(samples))]\nkeys, len(set(keys))",
)
def keys(case: SourceCase) -> None:
    """Every sample has a key of its own, a non-empty string, the same whenever the source is opened."""
    samples = case.opened()
    found = [samples.key(index) for index in range(len(samples))]
    wrong = [key for key in found if not isinstance(key, str) or not key]
    require(not wrong, f"{wrong[:1]} is no key; expected a non-empty string")
    twice = sorted({key for key in found if found.count(key) > 1}) if len(set(found)) < len(found) else []
    require(not twice, f"{len(found)} samples have {len(set(found))} keys; {twice[:1]} comes more than once")
    case.read(samples)
    again = case.opened()
    after = [[s.key(index) for index in range(len(s))] for s in (samples, again)]
    require(after[0] == found, "keys change when samples are read")
    require(after[1] == found, f"opened again, the keys are {after[1][:3]}..., before {found[:3]}...")


@law(
    "values",
    why="Modalities are written for what their own `read` gives: 16-bit depth is no byte, a palette is no colour.",
    see="sample = case.opened().read(0)\n"
    "{name: None if value is None else (value.dtype, value.shape) for name, value in sample.items()}",
)
def values(case: SourceCase) -> None:
    """A sample has every entry that is asked for and no other: None where it lacks it, otherwise a numpy array, which
    is what the modality's `read` made of the file, unchanged, and which it can transform and collate."""
    samples, fields = case.opened(), case.modalities.fields
    with _overheard(case.modalities) as heard:
        found = case.read(samples)
    for key, sample in found.items():
        require(set(sample) == set(fields), f"sample {key!r} has {sorted(sample)}, expected {sorted(fields)}")
        given = [name for name in case.modalities.inputs if sample[name] is not None]
        require(given, f"sample {key!r} has no entry that the encoder may be given; it is no sample")
        for name, value in sample.items():
            modality = case.modalities[name]
            if case.truth is not None:
                require(same_value(case.truth(key, name), value), f"{name!r} of {key!r} is not what is stored there")
            if value is None:
                continue
            require(isinstance(value, np.ndarray), f"{name!r} of {key!r} is {type(value).__name__}, not an array")
            read = heard.get(type(modality), [])
            told = not read or any(same_value(one, value) for one in read)
            require(told, f"{name!r} of {key!r} is not what {type(modality).__name__}.read gave")
            field = modality.collate([modality.transform(value.copy(), Geometry())])
            require(bool(field.present.any()), f"{name!r} of {key!r} is absent once it is collated")


@contextmanager
def _overheard(modalities: ModalitySet) -> Iterator[dict[type, list[np.ndarray]]]:
    """All that `read` gives, by class of modality."""
    heard: dict[type, list[np.ndarray]] = {}
    kinds = {type(modalities[name]) for name in modalities.fields}
    patches = []
    for kind in kinds:

        def listening(self: Any, data: bytes, original: Any = kind.read) -> np.ndarray:
            value: np.ndarray = original(self, data)
            heard.setdefault(type(self), []).append(np.array(value))
            return value

        patches.append(patch.object(kind, "read", listening))
    for one in patches:
        one.start()
    try:
        yield heard
    finally:
        for one in patches:
            one.stop()


@law(
    "joined by key",
    why="Where files are joined by their number in a listing, one missing file mis-pairs all samples behind it, and "
    "nobody notices.",
    see="before = case.read(case.opened()); case.remove(next(iter(before)), case.modalities.fields[0])\n"
    "after = case.read(case.opened())",
)
def joined_by_key(case: SourceCase) -> None:
    """Dropping one entry of one sample makes that entry None there and changes no other entry and no other sample."""
    if case.remove is None:
        raise Inapplicable("no `remove(key, entry)` was given to drop an entry with")
    for entry in case.modalities.fields:
        before = case.read(case.opened())
        key = next((k for k, sample in before.items() if sample[entry] is not None), None)
        if key is None:
            continue
        undo = case.remove(key, entry)
        try:
            samples = case.opened()
            where = {samples.key(index): index for index in range(len(samples))}
            _only_that_is_gone(
                case, key, entry, before, {k: dict(samples.read(where[k])) for k in before if k in where}
            )
        finally:
            if undo is not None:
                undo()


def _only_that_is_gone(case: SourceCase, key: str, entry: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    for other, sample in before.items():
        if other != key:
            require(other in after, f"without {entry!r} of {key!r}, sample {other!r} is gone too")
            require_same(f"{other!r}, without {entry!r} of {key!r},", sample, after[other])
    rest = [name for name in case.modalities.inputs if name != entry and before[key][name] is not None]
    if key in after:
        require_same(f"{key!r}, without {entry!r},", {**before[key], entry: None}, after[key])
    else:
        require(not rest, f"without {entry!r}, sample {key!r} is gone although it has {', '.join(rest)}")


@law(
    "subset",
    why="Runs ask for some entries and for a held-out part; what they get must be the same samples.",
    see="case.description.open(case.modalities, 'train'), case.description.open(case.modalities, 'validation')",
)
def subset(case: SourceCase) -> None:
    """Asked for fewer entries, a source gives those, with the same values under the same keys; a subset it does not
    have is None; the length counts what can be read."""
    samples = case.opened()
    everything = case.read(samples)
    last = len(samples) - 1
    require(isinstance(samples.key(last), str) and bool(samples.read(last)), "the last sample cannot be read")
    for what in ("train", "validation"):
        other = case.description.open(case.modalities, what)
        require(other is None or len(other) > 0, f"subset {what!r} is empty; `open` must return None then, or refuse")
    for name in case.modalities.inputs:
        alone = case.modalities[name].replace(role="both")
        try:
            part = case.opened(modalities=ModalitySet(**{name: alone}))
        except ConfigError:  # its settings speak of the others
            continue
        where = {part.key(index): index for index in range(len(part))}
        for key, sample in everything.items():
            lost = f"asked for {name!r} alone, sample {key!r} is gone"
            require(key in where or sample[name] is None, lost)
            if key in where:
                found = part.read(where[key])
                require_same(f"{key!r}, asked for {name!r} alone,", {name: sample[name]}, found)
