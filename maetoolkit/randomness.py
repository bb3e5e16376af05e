"""Keyed randomness: every draw is a pure function of what it is for, never of what was drawn before."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def key(*parts: int | str) -> int:
    """Hash a path such as `(seed, purpose, epoch, sample key)` to a 128-bit Philox key.

    Parts are length-prefixed and typed, so `("a", "b")`, `("ab",)` and `(1,)`, `("1",)` all differ.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        encoded = f"{type(part).__name__}:{part}".encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return int.from_bytes(digest.digest(), "little")


def generator(*parts: int | str) -> np.random.Generator:
    """A numpy generator of its own for one path; equal paths give equal streams on every machine."""
    import numpy as np

    return np.random.Generator(np.random.Philox(key=key(*parts)))


@dataclass(frozen=True)
class Draw:
    """The randomness of one batch: one independent stream per purpose and sample.

    A draw depends on the sample's key and epoch alone, so it is the same for every batch size,
    number of workers and number of ranks. `step` keys what all samples of a step share.
    """

    seed: int
    keys: tuple[str, ...]
    epochs: tuple[int, ...]
    step: int = 0

    @classmethod
    def of(cls, seed: int, keys: Sequence[str], epoch: int | Sequence[int] = 0, step: int = 0) -> Draw:
        """Streams for samples `keys`, all in one epoch or each in its own, in step number `step` of a run."""
        epochs = (epoch,) * len(keys) if isinstance(epoch, int) else tuple(epoch)
        assert len(epochs) == len(keys), (len(epochs), len(keys))
        return cls(seed, tuple(keys), epochs, step)

    def __len__(self) -> int:
        return len(self.keys)

    def generator(self, purpose: str, sample: int) -> np.random.Generator:
        """The stream of sample number `sample` for `purpose`."""
        return generator(self.seed, purpose, self.epochs[sample], self.keys[sample])

    def shared(self, purpose: str) -> np.random.Generator:
        """The stream that all samples of the step share for `purpose`, on every rank."""
        return generator(self.seed, purpose, "step", self.step)

    def uniform(self, purpose: str, num: int) -> np.ndarray:
        """float64 uniforms in [0, 1), shape (samples, num); row i comes from sample i's own stream."""
        import numpy as np

        if not self.keys:
            return np.empty((0, num))
        return np.stack([self.generator(purpose, i).random(num) for i in range(len(self))])
