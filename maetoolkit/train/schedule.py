"""How long a run is, and at which of its steps something happens; pure functions of recipe and data set size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from maetoolkit.errors import ConfigError
from maetoolkit.train.optimise import learning_rate, peak_learning_rate

if TYPE_CHECKING:
    from maetoolkit.train.recipe import Recipe

STEPS_BETWEEN_CHECKPOINTS = 1000


@dataclass(frozen=True)
class Schedule:
    """The steps of a run; `done` counts finished steps, `step` numbers them from 0.

    end: where this invocation stops; peak, warmup, final: learning rates as used.
    """

    num_samples: int
    batch: int
    num_steps: int
    end: int
    warmup_steps: int
    peak: float
    warmup: float
    final: float
    checkpoint_every: int | None
    checkpoint_every_epochs: int | None
    log_every: int

    @classmethod
    def of(cls, recipe: Recipe, num_samples: int) -> Self:
        """The schedule of a recipe on a data set of `num_samples`. Raises ConfigError where it has no length."""
        settings, saves = recipe.optimizer, recipe.checkpoint
        if recipe.steps is None and recipe.epochs is None:
            raise ConfigError("steps: expected the length of the run; found neither steps nor epochs; set one of them")
        num_steps = recipe.steps or math.ceil((recipe.epochs or 0) * num_samples / recipe.batch)
        warmup_steps = settings.warmup_steps
        if warmup_steps is None:
            warmup_steps = math.ceil((settings.warmup_epochs or 0) * num_samples / recipe.batch)
        every = saves.every
        if every is None and saves.every_epochs is None:
            every = STEPS_BETWEEN_CHECKPOINTS
        return cls(
            num_samples=num_samples,
            batch=recipe.batch,
            num_steps=num_steps,
            end=min(num_steps, recipe.stop_after or num_steps),
            warmup_steps=warmup_steps,
            peak=peak_learning_rate(settings.lr, recipe.batch),
            warmup=settings.warmup_lr,
            final=settings.final_lr,
            checkpoint_every=every,
            checkpoint_every_epochs=saves.every_epochs,
            log_every=recipe.log.every,
        )

    def learning_rate(self, step: int) -> float:
        """The learning rate of step number `step`."""
        return learning_rate(
            step,
            peak=self.peak,
            num_steps=self.num_steps,
            warmup_steps=self.warmup_steps,
            warmup=self.warmup,
            final=self.final,
        )

    def epoch(self, done: int) -> int:
        """Epochs that are complete after `done` steps."""
        return done * self.batch // self.num_samples

    def logs(self, done: int) -> bool:
        """Whether the `done`-th step is logged: the first, the last and every so many, resumed or not."""
        return done == 1 or done == self.num_steps or done % self.log_every == 0

    def saves(self, done: int) -> bool:
        """Whether a checkpoint is due after `done` steps."""
        if done in (self.num_steps, self.end):
            return True
        if self.checkpoint_every is not None and done % self.checkpoint_every == 0:
            return True
        epochs = self.checkpoint_every_epochs
        return epochs is not None and self.epoch(done) // epochs > self.epoch(done - 1) // epochs
