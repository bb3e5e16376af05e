"""The laws of reading: pure, in any process and any order. The order of samples is pure as well."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from maetoolkit.data.source import Samples
from maetoolkit.randomness import generator
from maetoolkit.testing.law import law, require
from maetoolkit.testing.pure import undisturbed
from maetoolkit.testing.roundtrip import description_survives
from maetoolkit.testing.source_case import SourceCase, require_same

NUM_EPOCHS = 3


@law(
    "pure",
    why="Samples are read again in every epoch and on resume, and augmentations may write into what they got.",
    see="samples = case.opened()\nsamples.read(0), samples.read(1), samples.read(0)",
)
def reading_is_pure(case: SourceCase) -> None:
    """Reading gives the same bits again, in any order, after reopening, and after the caller wrote into what it was
    given; it neither reads nor moves a global random state."""
    samples = case.opened()
    num = min(case.most, len(samples))
    with undisturbed("reading"):
        first = [_copied(samples.read(index)) for index in range(num)]
        order = generator("laws", case.seed, "order").permutation(num)
        for index in [*order.tolist(), *reversed(range(num))]:
            require_same(f"{samples.key(index)!r}, read again,", first[index], samples.read(index))
        for index in range(num):
            for value in samples.read(index).values():
                if value is not None and value.flags.writeable and value.size and value.dtype.kind in "biufc":
                    value[...] = 0 if value.flat[0] else 1
            found = samples.read(index)
            require_same(f"{samples.key(index)!r}, after the caller wrote into it,", first[index], found)
    again = case.opened()
    for index in reversed(range(num)):
        require_same(f"{samples.key(index)!r}, opened again,", first[index], again.read(index))


def _copied(sample: Any) -> dict[str, np.ndarray | None]:
    return {name: None if value is None else np.array(value) for name, value in sample.items()}


@law(
    "workers",
    why="Samples are read by worker processes: open files, sockets and locks do not follow there.",
    see="samples = pickle.loads(pickle.dumps(case.opened()))\nsamples.read(0)",
)
def workers(case: SourceCase) -> None:
    """Opened samples can be pickled and read in another process, also after they were read from in this one, and give
    the same bits there."""
    samples = case.opened()
    num = min(case.most, len(samples))
    here = [_copied(samples.read(index)) for index in range(num)]
    for how, reads in (("pickled", _Reads(pickle.dumps(samples), num)), ("inherited", _Reads(samples, num))):
        loader: DataLoader = DataLoader(
            reads, batch_size=None, num_workers=1, collate_fn=_unchanged, generator=torch.Generator()
        )
        for index, (key, found) in enumerate(loader):
            require(key == samples.key(index), f"sample {index} has the key {key!r} in a worker, {how}")
            require_same(f"{key!r}, {how} by a worker process,", here[index], found)


class _Reads(Dataset[Any]):
    """Reads in a worker, from opened samples or from their pickle."""

    def __init__(self, samples: Samples | bytes, num: int) -> None:
        self.samples: Samples | bytes = samples
        self.num = num

    def __len__(self) -> int:
        return self.num

    def __getitem__(self, index: int) -> tuple[str, dict[str, np.ndarray | None]]:
        if isinstance(self.samples, bytes):
            self.samples = pickle.loads(self.samples)
        assert isinstance(self.samples, Samples)
        return self.samples.key(index), dict(self.samples.read(index))


def _unchanged(item: Any) -> Any:
    return item


@law(
    "order",
    why="A run may stop and go on, on another number of machines; which sample comes when must not depend on that.",
    see="samples = case.opened()\nsamples.places(0, 0)[:5], samples.places(0, 1)[:5], samples.places(1, 0)[:5]",
)
def order(case: SourceCase) -> None:
    """The order of an epoch is a function of seed and epoch alone: (epoch, index) pairs of samples that exist, another
    order for another seed or epoch, and no pair twice. Weights are finite and not negative."""
    samples, again = case.opened(), case.opened()
    num = samples.num_per_epoch
    seen: set[tuple[int, int]] = set()
    for epoch in range(NUM_EPOCHS):
        with undisturbed("`places`"):
            places = np.asarray(samples.places(case.seed, epoch))
        require(places.shape == (num, 2), f"`places` of shape {places.shape}, expected (num_per_epoch, 2) = {(num, 2)}")
        require(places.dtype.kind in "iu", f"`places` holds {places.dtype}, expected whole numbers")
        inside = bool(((places[:, 1] >= 0) & (places[:, 1] < len(samples))).all() and (places[:, 0] >= 0).all())
        require(inside, f"`places` reaches from {places.min(0)} to {places.max(0)}; there are {len(samples)} samples")
        for other in (samples, again):
            require(np.array_equal(places, other.places(case.seed, epoch)), "`places` differs when it is asked again")
        pairs = {(int(e), int(i)) for e, i in places}
        require(len(pairs) == num and not pairs & seen, f"epoch {epoch} has a pair (epoch, index) that came before")
        seen |= pairs
    if num > 5:
        first = samples.places(case.seed, 0)[:, 1]
        for what, moved in (("seed", samples.places(case.seed + 1, 0)), ("epoch", samples.places(case.seed, 1))):
            require(not np.array_equal(first, moved[:, 1]), f"the order is the same for another {what}")
    for index in range(min(case.most, len(samples))):
        weight = samples.weight(index)
        require(np.isfinite(weight) and weight >= 0, f"the weight of {samples.key(index)!r} is {weight}")


@law(
    "round trip",
    why="A run is what its recipe says; a source that is not written down whole reads other data on resume.",
    see="plain = case.description.model_dump(mode='json')\nplain, type(case.description).model_validate(plain)",
)
def source_round_trip(case: SourceCase) -> None:
    """The description survives plain values, YAML and a pickle, and the copy opens the same samples."""
    description_survives(case.description)
    copy = type(case.description).model_validate(case.description.model_dump(mode="json"))
    before, after = case.read(case.opened()), case.read(case.opened(copy))
    require(list(before) == list(after), f"the copy has the samples {list(after)[:3]}..., not {list(before)[:3]}...")
    for key, sample in before.items():
        require_same(f"{key!r}, opened by the copy,", sample, after[key])
