"""Which sample is where in a run: a pure function of seed and position, the same for any workers, ranks and start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from maetoolkit.errors import ConfigError
from maetoolkit.randomness import generator

if TYPE_CHECKING:
    import numpy as np


@lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, num_samples: int) -> np.ndarray:
    """The order of one epoch: each index once."""
    order = generator(seed, "order", epoch).permutation(num_samples)
    order.setflags(write=False)
    return order


def place(seed: int, num_samples: int, position: int) -> tuple[int, int]:
    """(epoch, index) of the sample at `position` of the endless stream of epochs."""
    epoch, offset = divmod(position, num_samples)
    return epoch, int(permutation(seed, epoch, num_samples)[offset])


@dataclass(frozen=True)
class MicroBatch:
    """What one worker is asked for: the (epoch, index) pairs, in order; `number` counts within the step."""

    step: int
    number: int
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Schedule:
    """The micro-batches of one rank, step after step.

    A step's `batch` consecutive positions are cut into contiguous slices, one per rank, then into micro-batches of
    `micro_batch` samples (at most the rank's share). Raises ConfigError where the numbers do not divide.
    """

    seed: int
    num_samples: int
    batch: int
    micro_batch: int
    num_steps: int
    start: int = 0
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.batch % self.world:
            near = self.batch // self.world * self.world or self.world
            raise ConfigError(
                f"batch: expected a multiple of the {self.world} ranks, found {self.batch}; {near} would do"
            )
        if self.share % self.size:
            raise ConfigError(
                f"micro_batch: expected a divisor of the {self.share} samples each rank has per step "
                f"(batch {self.batch} / {self.world} ranks), found {self.micro_batch}"
            )

    @property
    def share(self) -> int:
        """Samples of one rank per step."""
        return self.batch // self.world

    @property
    def size(self) -> int:
        """Samples of one micro-batch."""
        return max(1, min(self.micro_batch, self.share))

    @property
    def num_micro_batches(self) -> int:
        """Micro-batches of one rank per step."""
        return self.share // self.size

    def __iter__(self) -> Iterator[MicroBatch]:
        for step in range(self.start, self.num_steps):
            first = step * self.batch + self.rank * self.share
            for number in range(self.num_micro_batches):
                begin = first + number * self.size
                places = (place(self.seed, self.num_samples, p) for p in range(begin, begin + self.size))
                yield MicroBatch(step, number, tuple(places))

    def __len__(self) -> int:
        return max(0, self.num_steps - self.start) * self.num_micro_batches
