"""report.html of a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maetoolkit.errors import ConfigError

if TYPE_CHECKING:
    from maetoolkit.data.source import Samples
    from maetoolkit.evaluate.findings import Effort
    from maetoolkit.model.autoencoder import MaskedAutoencoder
    from maetoolkit.train.recipe import Recipe

NAME = "report.html"


def write_report(run: str | Path, effort: Effort | None = None) -> Path:
    """Look at the newest valid checkpoint of a run directory and write its report.html; returns where it is.

    Uses the accelerator where there is one. Raises ConfigError where this is no run directory, DataError where it has
    no valid checkpoint or its samples cannot be read.
    """
    import torch

    from maetoolkit.train.checkpoint import newest_valid
    from maetoolkit.train.run import load_run, open_samples
    from maetoolkit.train.schedule import Schedule

    path = Path(run)
    recipe, model = load_run(path)
    newest, _ = newest_valid(path / "checkpoints")
    assert newest is not None, "load_run would have said so"
    samples = open_samples(recipe)
    if torch.cuda.is_available():
        model.cuda()
    step = int(newest.name.removeprefix("step-"))
    num_steps = Schedule.of(recipe, len(samples)).num_steps
    return report_on(path, recipe, model, samples, step=step, num_steps=num_steps, effort=effort)


def report_on(
    path: Path,
    recipe: Recipe,
    model: MaskedAutoencoder,
    samples: Samples,
    *,
    step: int,
    num_steps: int,
    effort: Effort | None = None,
) -> Path:
    """Write the report of a model at hand, trained for `step` of `num_steps` steps on `samples`, into `path`.

    Raises ConfigError where the file cannot be written.
    """
    from maetoolkit.evaluate.findings import Effort, look
    from maetoolkit.evaluate.page import render
    from maetoolkit.train.directory import write_atomically
    from maetoolkit.train.log import LOG_NAME, read_log

    effort = effort or Effort(pictures=recipe.report.samples, masks=recipe.report.masks)
    validation = recipe.data.open(model.modalities, "validation")
    found = look(model, samples, validation, effort, recipe.seed, step / num_steps)
    records = [record for record in read_log(path / LOG_NAME) if record["step"] <= step]
    html = render(recipe, model, found, records, step=step, num_steps=num_steps)
    try:
        write_atomically(path / NAME, html)
    except OSError as error:
        raise ConfigError(
            f"{path / NAME}: cannot be written ({error.strerror}); make room, or let this user write in the run"
        ) from error
    return path / NAME
