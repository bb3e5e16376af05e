"""Callbacks: what else happens during a run (a report, a tracker), without ever being able to spoil it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maetoolkit.description import Description
from maetoolkit.errors import ConfigError, DataError

if TYPE_CHECKING:
    from maetoolkit.train.run import Run


class Callback:
    """Called on the first rank at the turns of a run; override what you need.

    `run.model` is the model as it is now; a callback must not change it.
    """

    def on_start(self, run: Run) -> None:
        """Training is about to begin, or to continue from `run.step`."""

    def on_log(self, run: Run, record: Mapping[str, Any]) -> None:
        """A line has been written to log.jsonl."""

    def on_checkpoint(self, run: Run, path: Path) -> None:
        """A checkpoint has been written."""

    def on_end(self, run: Run) -> None:
        """Training has come to its end, or to `stop_after`."""


class CallbackDescription(Description, ABC):
    """Settings of a callback that a recipe names under `callbacks`."""

    @abstractmethod
    def build(self) -> Callback:
        """The callback of one run."""


class Callbacks(Callback):
    """Several callbacks as one; an error in any of them becomes a line for `say`, for a figure is not worth a run."""

    def __init__(self, callbacks: Sequence[Callback] = (), say: Callable[[str], None] = print) -> None:
        self._callbacks, self._say = tuple(callbacks), say

    def on_start(self, run: Run) -> None:
        """All are told that training begins."""
        self._each(run, lambda callback: callback.on_start(run))

    def on_log(self, run: Run, record: Mapping[str, Any]) -> None:
        """All are told of a line."""
        self._each(run, lambda callback: callback.on_log(run, record))

    def on_checkpoint(self, run: Run, path: Path) -> None:
        """All are told of a checkpoint."""
        self._each(run, lambda callback: callback.on_checkpoint(run, path))

    def on_end(self, run: Run) -> None:
        """All are told that training has stopped. Raises DataError for the first error that a user can mend."""
        errors = self._each(run, lambda callback: callback.on_end(run), "the weights are safe")
        mendable = [error for error in errors if isinstance(error, ConfigError | DataError)]
        if mendable:
            raise DataError(f"{mendable[0]}; the weights are safe in {run.checkpoints}") from mendable[0]

    def _each(
        self, run: Run, call: Callable[[Callback], None], comfort: str = "training goes on"
    ) -> Sequence[Exception]:
        """Call all of them whatever each does, and tell of every error."""
        training, errors = run.model.training, []
        for callback in self._callbacks:
            try:
                call(callback)
            except Exception as error:
                errors.append(error)
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                self._say(f"{type(callback).__name__} failed, {comfort}: {reason}")
            finally:
                run.model.train(training)
        return errors
