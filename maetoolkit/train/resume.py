"""Resuming: the model and optimizer of a run as its newest valid checkpoint left them, or as they begin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from maetoolkit.errors import DataError
from maetoolkit.train.checkpoint import Checkpoint, load, newest_valid
from maetoolkit.train.optimise import build_optimizer, load_optimizer_state

if TYPE_CHECKING:
    from torch import nn

    from maetoolkit.train.distributed import Ranks
    from maetoolkit.train.progress import Progress
    from maetoolkit.train.run import Run


def prepare(run: Run, ranks: Ranks, progress: Progress) -> tuple[Any, Any]:
    """Place the model, build its optimizer, and put both where the newest valid checkpoint left them."""
    settings = run.recipe.optimizer
    newest, skipped = newest_valid(run.checkpoints)
    for name, reason in skipped:
        progress.say(f"{run.checkpoints}: skipped {name}: {reason}")
    optimizer = build_optimizer(
        run.model,
        lr=run.schedule.peak,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        decay_all=settings.decay_all,
    )
    if newest is not None:
        checkpoint = load(newest)
        _check_state(run, checkpoint, newest)
        fill(run.model, checkpoint, newest)
        load_optimizer_state(run.model, optimizer, checkpoint.optimizer)
        _check_teachers(run, checkpoint, newest)
        run.teachers.load(checkpoint.teachers)
        run.step = int(checkpoint.state["step"])
        if not run.step >= run.schedule.end:
            progress.say(f"{run.path}: continuing from {newest.name} of {run.num_steps}")
    if run.recipe.compile:
        run.model.compile_blocks()
    return ranks.prepare(run.model, optimizer)


def _check_state(run: Run, checkpoint: Checkpoint, path: Path) -> None:
    found, there = str(checkpoint.state["num_samples"]), str(run.schedule.num_samples)
    sizes = tuple(checkpoint.state.get("sizes", run.samples.sizes))
    if found == there and sizes != run.samples.sizes:
        found, there = (" + ".join(map(str, each)) for each in (sizes, run.samples.sizes))
    if found != there:
        raise DataError(
            f"{path}: was trained on {found} samples, the data set now has {there}; the order of samples would change. "
            "Restore the data set, or start another run with run=DIR"
        )


def _check_teachers(run: Run, checkpoint: Checkpoint, path: Path) -> None:
    recorded = checkpoint.state.get("teachers", {})
    for name, found in run.teachers.fingerprints().items():
        if recorded.get(name, found) != found:
            raise DataError(
                f"{path}: the teacher of {name!r} has other weights than when this run began; its targets would "
                "change. Restore the teacher's weights, or start another run with run=DIR"
            )


def fill(model: nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Put a checkpoint's weights into a model. Raises DataError where they are not this model's."""
    try:
        model.load_state_dict(dict(checkpoint.model), strict=True)
    except RuntimeError as error:
        raise DataError(f"{path}: its weights are not those of the recipe's model: {error}") from None
