"""Reporter: keeps the report of a run fresh while it trains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maetoolkit.errors import ConfigError, DataError
from maetoolkit.train.callbacks import Callback

if TYPE_CHECKING:
    from maetoolkit.train.run import Run


class Reporter(Callback):
    """Writes report.html when training ends, and a quick one (fewer samples) at every `every`-th checkpoint; 0: never.

    A checkpoint at the very end is left to the full report. Reporting changes no weight and draws no shared randomness.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = every
        self.written: Path | None = None
        self._num_checkpoints = 0

    def on_checkpoint(self, run: Run, path: Path) -> None:
        """Write a quick report."""
        self._num_checkpoints += 1
        if self.every and self._num_checkpoints % self.every == 0 and not run.finished:
            self._write(run, quick=True)

    def on_end(self, run: Run) -> None:
        """Write the full report. Raises DataError where a sample or the file is at fault, with what to do."""
        try:
            self._write(run, quick=False)
        except (ConfigError, DataError) as error:
            remedy = f"once this is mended, `maetool report {run.path}` writes the report"
            raise DataError(f"{error}; {remedy}") from error

    def _write(self, run: Run, quick: bool) -> None:
        from maetoolkit.evaluate.findings import Effort
        from maetoolkit.evaluate.report import report_on

        settings = run.recipe.report
        effort = Effort(pictures=settings.samples, masks=settings.masks)
        if quick:
            effort = Effort(min(2, settings.samples), min(2, settings.masks), errors=8, compared=8, averaged=16)
        self.written = report_on(
            run.path, run.recipe, run.model, run.samples, step=run.step, num_steps=run.num_steps, effort=effort
        )
