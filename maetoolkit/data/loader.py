"""StepLoader: the micro-batches of each step, made ahead of time by worker processes, the same bits for any of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader, Dataset

import maetoolkit.modalities.resample  # noqa: F401 - before workers fork, or each of them pays its seconds of import
from maetoolkit.data.collate import Builder, Router, evaluation_batch
from maetoolkit.data.order import MicroBatch, Schedule
from maetoolkit.errors import ConfigError, DataError
from maetoolkit.tokens import Batch

if TYPE_CHECKING:
    from maetoolkit.data.source import Samples, Source
    from maetoolkit.masking.sampler import MaskSampler
    from maetoolkit.modality import ModalitySet

__all__ = ["MicroBatch", "Schedule", "StepLoader", "evaluation_batch"]

Failure = ConfigError | DataError


class StepLoader:
    """Iterates `(step, micro-batches of this rank)` from step `start` to `num_steps`.

    Order: one stream over epochs. Position p = step * batch + i is `samples.places(seed, p // N)[p % N]`, with N the
    samples of an epoch; nothing is dropped. Crops, plans and order depend on seed, epoch and sample key alone, so they
    are the same for any `workers`, `micro_batch`, `rank` and `world`.
    Raises ConfigError where batch, world and micro_batch do not divide; DataError where a sample cannot be used.
    """

    def __init__(
        self,
        samples: Samples,
        modalities: ModalitySet,
        source: Source,
        *,
        seed: int,
        batch: int,
        micro_batch: int | None = None,
        sampler: MaskSampler | None = None,
        router: Router | None = None,
        num_steps: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        workers: int | None = None,
    ) -> None:
        self.schedule = Schedule(
            samples, seed, batch, batch if micro_batch is None else micro_batch, num_steps, start, rank, world
        )
        builder = Builder(samples, modalities, source, seed, num_steps, sampler, router)
        workers = source.workers if workers is None else workers
        self._loader: DataLoader = DataLoader(
            _Requests(builder),
            batch_size=None,
            sampler=_Plan(self.schedule),
            num_workers=workers,
            collate_fn=_unchanged,  # type: ignore[arg-type]
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # its own, or torch draws from the global one
            persistent_workers=workers > 0,
            prefetch_factor=max(2, 2 * self.schedule.num_micro_batches // workers) if workers else None,
        )

    def __len__(self) -> int:
        """Steps to come."""
        return max(0, self.schedule.num_steps - self.schedule.start)

    def __iter__(self) -> Iterator[tuple[int, list[Batch]]]:
        step, parts = self.schedule.start, []
        for item in self._loader:
            if isinstance(item, Failure):
                raise item
            parts.append(item)
            if len(parts) == self.schedule.num_micro_batches:
                yield step, parts
                step, parts = step + 1, []


class _Plan(torch.utils.data.Sampler[MicroBatch]):
    """The schedule as torch's DataLoader wants it."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def __iter__(self) -> Iterator[MicroBatch]:
        return iter(self.schedule)

    def __len__(self) -> int:
        return len(self.schedule)


class _Requests(Dataset[Batch | Failure]):
    """Answers requests; what a user can cause comes back as a value, so its message crosses processes unwrapped."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    def __getitem__(self, request: MicroBatch) -> Batch | Failure:
        try:
            return self.builder(request)
        except (ConfigError, DataError) as error:
            return type(error)(str(error))


def _unchanged(item: Batch | Failure) -> Batch | Failure:
    return item
