"""Data sources with one bug each, by the word in `wrong`; "" has none."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field as Setting

from maetoolkit.data.source import Samples, Source, Subset
from maetoolkit.modalities.image import Depth
from maetoolkit.modality import ModalitySet

OPENED = itertools.count()
MODALITIES = ModalitySet(near=Depth(size=(4,), patch=(2,)), far=Depth(size=(4,), patch=(2,)))
NUM_SAMPLES = 9


class Arrays(Source):
    """`root/<entry>/<key>.npy`, in one of many ways that may be wrong."""

    type: Literal["arrays"] = "arrays"
    root: str
    wrong: str = ""
    unwritten: str = Setting("", exclude=True)

    def open(self, modalities: ModalitySet, subset: Subset) -> Samples | None:
        if subset == "validation":
            return ArraySamples(self, modalities, []) if self.wrong == "empty subset" else None
        root = Path(self.root)
        keys = sorted({file.stem for name in modalities.fields for file in (root / name).glob("*.npy")})
        return ArraySamples(self, modalities, keys[1:] if self.unwritten else keys)


class ArraySamples(Samples):
    def __init__(self, source: Arrays, modalities: ModalitySet, keys: list[str]) -> None:
        self.root, self.wrong, self.modalities, self.keys = Path(source.root), source.wrong, modalities, keys
        self.names = MODALITIES.fields if self.wrong == "all entries" else modalities.fields
        self.number, self.cache = next(OPENED), {}
        if self.wrong == "open file":
            self.file = (self.root / self.names[0] / f"{keys[0]}.npy").open("rb")

    def __len__(self) -> int:
        return len(self.keys)

    def key(self, index: int) -> str:
        if self.wrong == "same key":
            return self.keys[index // 2]
        return f"{self.keys[index]}{self.number if self.wrong == 'new keys' else ''}"

    def read(self, index: int) -> dict[str, np.ndarray | None]:
        sample = {name: self._value(name, index) for name in self.names}
        return {n: v for n, v in sample.items() if v is not None} if self.wrong == "left out" else sample

    def _value(self, name: str, index: int) -> np.ndarray | None:
        file = self.root / name / f"{self.keys[index]}.npy"
        if self.wrong == "by number":
            files = sorted((self.root / name).glob("*.npy"))
            file = files[index] if index < len(files) else file
        if not file.exists():
            return np.zeros((4, 4), np.float32) if self.wrong == "blank" else None
        if self.wrong == "cache" and (name, index) in self.cache:
            return self.cache[name, index]
        value = MODALITIES[name].read(file.read_bytes())
        self.cache[name, index] = value
        if self.wrong == "converts":
            return value.astype(np.float64)
        if self.wrong == "noisy":
            return value + np.float32(np.random.random())
        if self.wrong == "once":
            return value if len(self.cache) < 30 else value * 2
        return value

    def places(self, seed: int, epoch: int) -> np.ndarray:
        if self.wrong == "one order":
            return super().places(0, 0) + np.array([epoch, 0])
        if self.wrong == "repeats":
            return super().places(seed, epoch) * np.array([0, 1])
        if self.wrong == "too far":
            return super().places(seed, epoch) + np.array([0, 1])
        return super().places(seed, epoch)


def write(root: Path) -> None:
    draw = np.random.default_rng(0)
    for entry in MODALITIES.fields:
        (root / entry).mkdir(parents=True)
        for number in range(NUM_SAMPLES):
            np.save(root / entry / f"s{number}.npy", draw.random((4, 4), np.float32))


BROKEN = [
    ("keys", "same key", "9 samples have 5 keys"),
    ("keys", "new keys", "opened again, the keys are"),
    ("values", "converts", "is not what Depth.read gave"),
    ("values", "all entries", "expected ['near']"),
    ("joined by key", "by number", "is another value"),
    ("joined by key", "blank", "is another value"),
    ("joined by key", "left out", "has the entries"),
    ("subset", "empty subset", "`open` must return None then"),
    ("pure", "cache", "after the caller wrote into it"),
    ("pure", "noisy", "read again"),
    ("workers", "open file", "cannot pickle"),
    ("order", "one order", "the order is the same for another seed"),
    ("order", "repeats", "has a pair (epoch, index) that came before"),
    ("order", "too far", "there are 9 samples"),
]
