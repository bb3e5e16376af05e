"""What a person sees of a run: one line that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Loss per modality, samples per second and time to go, on the console's output.

    quiet: say nothing (all ranks but the first).
    """

    def __init__(self, num_steps: int, quiet: bool = False, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bar

        self._console = console or Console(highlight=False, soft_wrap=True, quiet=quiet)
        self._num_steps = num_steps
        self._printed = float("-inf")
        self._text = ""
        self._bar: Bar | None = None

    def start(self, done: int) -> None:
        """Training begins after `done` steps; a terminal gets its moving line."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        if self._console.is_terminal and not self._console.quiet:
            columns = (TextColumn("step"), MofNCompleteColumn(), BarColumn(20), TextColumn("{task.description}"))
            self._bar = Bar(*columns, console=self._console)
            self._task = self._bar.add_task("", total=self._num_steps, completed=done)
            self._bar.start()

    def step(self, done: int) -> None:
        """`done` steps of the run are behind us."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)

    def show(self, record: Mapping[str, Any], batch: int) -> None:
        """Show a logged step; a plain line appears at most every ten seconds, and for the last step."""
        self._text = describe(record, self._num_steps, batch)
        if self._bar is not None:
            self._bar.update(self._task, completed=record["step"], description=self._text)
            return
        now = time.monotonic()
        if now - self._printed >= SECONDS_BETWEEN_LINES or record["step"] == self._num_steps:
            self._console.print(f"step {record['step']}/{self._num_steps}  {self._text}", markup=False)
            self._printed = now

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, markup=False)

    def close(self) -> None:
        """Leave the last state of the line on the screen."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def describe(record: Mapping[str, Any], num_steps: int, batch: int) -> str:
    """One logged step in words: the loss, that of each modality, the rate, the time to go."""
    parts = [f"loss {record['loss']:.4g}"]
    parts += [f"{name.removeprefix('loss/')} {value:.4g}" for name, value in record.items() if name.startswith("loss/")]
    rate = record.get("samples_per_second")
    if rate:
        parts.append(f"{rate:.4g} samples/s")
        left = (num_steps - record["step"]) * batch / rate
        parts.append(f"{timedelta(seconds=round(left))} to go")
    return "  ".join(parts)
