"""Which sample is where in a run: a pure function of seed and position, the same for any workers, ranks and start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from maetoolkit.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np


class Order(Protocol):
    """What the schedule asks of a collection of samples."""

    @property
    def num_per_epoch(self) -> int: ...  # noqa: D102
    def places(self, seed: int, epoch: int) -> np.ndarray: ...  # noqa: D102


@dataclass(frozen=True)
class MicroBatch:
    """What one worker is asked for: the (epoch, index) pairs, in order; `number` counts within the step."""

    step: int
    number: int
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Schedule:
    """The micro-batches of one rank, step after step.

    `samples` say how an epoch is ordered. A step's `batch` consecutive positions are cut into contiguous slices, one
    per rank, then into micro-batches of `micro_batch` samples (at most the rank's share). Raises ConfigError where the
    numbers do not divide.
    """

    samples: Order
    seed: int
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
        epochs: dict[int, np.ndarray] = {}
        for step in range(self.start, self.num_steps):
            first = step * self.batch + self.rank * self.share
            for number in range(self.num_micro_batches):
                begin = first + number * self.size
                places = (self.place(position, epochs) for position in range(begin, begin + self.size))
                yield MicroBatch(step, number, tuple(places))

    def place(self, position: int, epochs: dict[int, np.ndarray] | None = None) -> tuple[int, int]:
        """(epoch, index) of the sample at `position` of the endless stream; `epochs` remembers two of them."""
        epoch, offset = divmod(position, self.samples.num_per_epoch)
        epochs = {} if epochs is None else epochs
        if epoch not in epochs:
            epochs.pop(epoch - 2, None)
            epochs[epoch] = self.samples.places(self.seed, epoch)
        own, index = epochs[epoch][offset].tolist()
        return own, index

    def __len__(self) -> int:
        return max(0, self.num_steps - self.start) * self.num_micro_batches
