"""Callbacks: what else happens during a run (a report, a tracker), without ever being able to end it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


class Callbacks(Callback):
    """Several callbacks as one; an error in any of them becomes a warning, for a figure is not worth a run."""

    def __init__(self, callbacks: Sequence[Callback] = ()) -> None:
        self._callbacks = tuple(callbacks)

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
        """All are told that training has stopped."""
        self._each(run, lambda callback: callback.on_end(run))

    def _each(self, run: Run, call: Callable[[Callback], None]) -> None:
        training = run.model.training
        for callback in self._callbacks:
            try:
                call(callback)
            except Exception as error:
                name = type(callback).__name__
                warnings.warn(f"{name} failed, training goes on: {type(error).__name__}: {error}", stacklevel=2)
            finally:
                run.model.train(training)
