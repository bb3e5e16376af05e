"""The training loop: learning rate, gradient, check, optimizer step; then log, checkpoint, listeners."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maetoolkit.layers.attention import Backend, pads
from maetoolkit.layers.ragged import filler
from maetoolkit.train.gradients import StepLosses, clip_gradients, compute_gradients
from maetoolkit.train.optimise import set_learning_rate

if TYPE_CHECKING:
    from maetoolkit.masking.route import Route
    from maetoolkit.tokens import Batch
    from maetoolkit.train.callbacks import Callbacks
    from maetoolkit.train.distributed import Ranks
    from maetoolkit.train.log import Log
    from maetoolkit.train.progress import Progress
    from maetoolkit.train.run import Run

Loader = Iterable[tuple[int, list["Batch"]]]


@dataclass
class Stopwatch:
    """Samples per second of training itself: what listeners and saves take is left out."""

    since: float = field(default_factory=time.perf_counter)
    num_samples: int = 0

    def read(self) -> float:
        """The rate since the last reading; starts again."""
        rate = self.num_samples / max(time.perf_counter() - self.since, 1e-9)
        self.restart()
        return rate

    def restart(self) -> None:
        """Forget what was counted."""
        self.since, self.num_samples = time.perf_counter(), 0


@dataclass
class Trainer:
    """Takes a run from `run.step` to the end of its schedule.

    model, optimizer: as prepared for all ranks; save: writes a checkpoint of the run as it stands.
    log, progress and callbacks are silent on all ranks but the first.
    """

    run: Run
    model: Any
    optimizer: Any
    loader: Loader
    ranks: Ranks
    log: Log | None
    progress: Progress
    callbacks: Callbacks
    routes: Sequence[Route] = ()  # of this rank's last step
    whole: bool = True  # the weights are those of `run.step` finished steps, not of one half taken

    def train(self) -> None:
        """Run the steps. Raises NonFiniteLoss before the optimizer step that would have spoiled the weights."""
        run, schedule, watch = self.run, self.run.schedule, Stopwatch()
        for step, batches in steps_between(self.loader, run.step, schedule.end):
            lr = schedule.learning_rate(step)
            losses = self._step(step, batches, lr)
            watch.num_samples += schedule.batch
            self.progress.step(run.step)
            if schedule.logs(run.step):
                self._log(losses, lr, watch)
            if schedule.saves(run.step):
                self.save()
                watch.restart()

    def save(self) -> Path | None:
        """Write a checkpoint on the first rank; the log is on the disk before it."""
        path = None
        if self.log is not None:
            self.log.sync()
            path = self.run.save(self.optimizer)
            self.callbacks.on_checkpoint(self.run, path)
        self.ranks.wait()
        return path

    def _step(self, step: int, batches: list[Batch], lr: float) -> StepLosses:
        run = self.run
        progress = step / run.schedule.num_steps
        placed = [self._prepared(batch.to(self.ranks.device, non_blocking=True), progress) for batch in batches]
        self.routes = [batch.route for batch in placed if batch.route is not None]
        losses = compute_gradients(self.model, run.model, placed, step + 1, progress, self.ranks)
        clip_gradients(run.model, run.recipe.optimizer.clip_norm, placed, step + 1)
        set_learning_rate(self.optimizer, lr)
        self.whole = False
        self.optimizer.step()
        run.teachers.update(run.model, run.step / run.schedule.num_steps)
        run.model.sampler.after_step()
        run.step = step + 1
        self.whole = True
        self.optimizer.zero_grad(set_to_none=True)
        return losses

    def _prepared(self, batch: Batch, progress: float) -> Batch:
        """The batch with its teachers' features, and with its plan where only the device can draw it."""
        with self.ranks.autocast():
            return self.run.teachers(self.run.model.planned(batch, progress))

    def _log(self, losses: StepLosses, lr: float, watch: Stopwatch) -> None:
        backend: Backend = getattr(self.run.recipe.encoder, "attention", "auto")
        padded = pads(backend, self.ranks.device.type, self.run.recipe.precision == "bf16")
        rates = {"lr": lr, **sizes(self.routes, padded), "samples_per_second": watch.read()}
        record = {"step": self.run.step, **losses.read(self.ranks), **rates}
        if self.log is not None:
            self.log.write(record)
            self.progress.show(record, self.run.schedule.batch)
            self.callbacks.on_log(self.run, record)
            watch.restart()


def steps_between(loader: Loader, start: int, end: int) -> Iterator[tuple[int, list[Batch]]]:
    """What the loader gives for steps `start` to `end` - 1; it must not skip or repeat one."""
    expected = start
    if start >= end:
        return
    for step, batches in loader:
        assert step == expected, f"the loader gave step {step}, expected {expected}"
        yield step, batches
        expected += 1
        if expected == end:
            return


def sizes(routes: Sequence[Route], padded: bool) -> dict[str, float]:
    """`tokens` per sample in the encoder, and `filler`, the share of padding among what attends, where there is any.

    Linear layers have no filler; attention has, in encoder and decoders, where samples of unequal length are grouped.
    """
    num_samples = sum(route.num_samples for route in routes)
    tokens = sum(route.segments.total for route in routes) / max(1, num_samples)
    if not padded:
        return {"tokens": tokens}
    every = [
        part for route in routes for part in (route.segments, *(stack.segments for stack in route.stacks.values()))
    ]
    padding = filler(every)
    return {"tokens": tokens} | ({"filler": padding} if padding else {})
