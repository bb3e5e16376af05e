"""Runs: a recipe, a directory, and `pretrain`, which takes the one to the end in the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from maetoolkit.errors import ConfigError, DataError
from maetoolkit.randomness import key
from maetoolkit.train.directory import check_recipe, held, write_recipe
from maetoolkit.train.recipe import Recipe, load_recipe
from maetoolkit.train.schedule import Schedule

if TYPE_CHECKING:
    from maetoolkit.data.source import Samples
    from maetoolkit.model.autoencoder import MaskedAutoencoder
    from maetoolkit.model.decoder import DecoderDescription
    from maetoolkit.model.encoder import EncoderDescription
    from maetoolkit.model.objective import ObjectiveDescription
    from maetoolkit.model.teacher import Teachers
    from maetoolkit.train.callbacks import Callback
    from maetoolkit.train.distributed import Ranks
    from maetoolkit.train.loop import Trainer


class Interrupted(KeyboardInterrupt):
    """Training was stopped from the keyboard; the message says where the same command will continue."""


@dataclass
class Run:
    """A recipe at work in a directory.

    model: the bare model; samples: the training samples; teachers: whose features some outputs predict;
    step: optimizer steps taken so far.
    """

    path: Path
    recipe: Recipe
    model: MaskedAutoencoder
    samples: Samples
    schedule: Schedule
    teachers: Teachers
    step: int = 0

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self.schedule.num_steps

    @property
    def finished(self) -> bool:
        """Whether all steps have been taken."""
        return self.step >= self.num_steps

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def save(self, optimizer: Any) -> Path:
        """Write a checkpoint of the run as it stands."""
        from maetoolkit.train.checkpoint import Checkpoint, save
        from maetoolkit.train.optimise import optimizer_state

        kept = self.recipe.with_versions()
        epoch, position = divmod(self.step * self.schedule.batch, self.schedule.num_samples)
        state = {
            "step": self.step,
            "num_steps": self.num_steps,
            "epoch": epoch,
            "position": position,
            "num_samples": self.schedule.num_samples,
            "sizes": list(self.samples.sizes),
            "identity": self.recipe.identity(),
            "versions": kept.versions,
            "plugins": kept.plugins,
        }
        state["teachers"] = self.teachers.fingerprints()
        weights = self.model.state_dict(), optimizer_state(self.model, optimizer)
        content = Checkpoint(*weights, state, self.teachers.state())
        return save(self.checkpoints, self.step, content, self.recipe.checkpoint.keep)


def build_model(recipe: Recipe, *, initialise: bool = True) -> MaskedAutoencoder:
    """The model that a recipe describes, with the initial weights of its seed; global random state is untouched.

    `initialise=False` leaves out `encoder.init`, whose source may be gone, for a checkpoint that follows.
    Raises ConfigError where its settings do not make a model.
    """
    import torch

    from maetoolkit.model.autoencoder import MaskedAutoencoder

    encoder = recipe.encoder
    if not initialise and getattr(encoder, "init", None):
        encoder = encoder.model_copy(update={"init": None})
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(recipe.seed, "initialise") % 2**63)
            return MaskedAutoencoder(
                recipe.modality_set,
                encoder=cast("EncoderDescription", encoder),
                decoder=cast("DecoderDescription", recipe.decoder),
                masking=recipe.masking,
                objective=cast("ObjectiveDescription", recipe.objective),
                seed=recipe.seed,
            )
    except (ConfigError, DataError):
        raise
    except ValueError as error:
        raise ConfigError(f"the recipe's model cannot be built: {error}") from error
    except Exception:
        from maetoolkit.train.first_build import check_build

        check_build(recipe)
        raise


def load_run(path: str | Path) -> tuple[Recipe, MaskedAutoencoder]:
    """The recipe of a run directory, and its model with the weights of the newest valid checkpoint.

    Raises ConfigError where this is no run directory, DataError where it has no valid checkpoint.
    """
    from maetoolkit.train.checkpoint import load, newest_valid
    from maetoolkit.train.resume import fill

    path = Path(path)
    if not (path / "recipe.yaml").is_file():
        raise ConfigError(f"{path}: expected a run directory, with recipe.yaml and checkpoints; give the path of a run")
    recipe = load_recipe(path / "recipe.yaml")
    newest, _ = newest_valid(path / "checkpoints")
    if newest is None:
        raise DataError(f"{path / 'checkpoints'}: there is no checkpoint yet; train first, with `maetool pretrain`")
    model = build_model(recipe, initialise=False)
    fill(model, load(newest), newest)
    return recipe, model.eval()


def pretrain(recipe: Recipe, callbacks: Sequence[Callback] = ()) -> Run:
    """Train as the recipe says, from the newest valid checkpoint of its run directory where there is one.

    A run that is finished says so and is returned as it is. Raises ConfigError where the directory is in use, cannot be
    written or holds another recipe; DataError where samples or checkpoints cannot be used or a loss is not finite.
    """
    path = Path(recipe.run)
    first = int(os.environ.get("RANK", "0")) == 0
    with held(path) if first else nullcontext():
        if first:
            check_recipe(path, recipe)
        from maetoolkit.train.distributed import Ranks

        return _pretrain(path, recipe, callbacks, Ranks(recipe.precision))


def _pretrain(path: Path, recipe: Recipe, callbacks: Sequence[Callback], ranks: Ranks) -> Run:
    from maetoolkit.model.teacher import Teachers
    from maetoolkit.train.callbacks import Callbacks
    from maetoolkit.train.checkpoint import newest_valid
    from maetoolkit.train.first_batch import check_first_batch
    from maetoolkit.train.first_build import build_callbacks
    from maetoolkit.train.log import Log
    from maetoolkit.train.loop import Trainer
    from maetoolkit.train.progress import Progress
    from maetoolkit.train.resume import prepare

    samples = open_samples(recipe)
    recipe.data.open(recipe.modality_set, "validation")  # what the report needs at the end is missed at the beginning
    _check_attention(recipe, ranks)
    schedule = Schedule.of(recipe, samples.num_per_epoch)
    progress = Progress(schedule.num_steps, quiet=not ranks.first)
    resumes = bool(getattr(recipe.encoder, "init", None)) and newest_valid(path / "checkpoints")[0] is not None
    built = ranks.place(build_model(recipe, initialise=not resumes))
    run = Run(path, recipe, built, samples, schedule, Teachers(built))
    check_first_batch(run)
    model, optimizer = prepare(run, ranks, progress)
    if run.step >= schedule.end:
        what = "this run is finished" if run.finished else f"stop_after={recipe.stop_after} has been reached"
        progress.say(f"{path}: {what} ({run.step} of {run.num_steps} steps); nothing to do")
        return run
    listeners = Callbacks((*callbacks, *build_callbacks(recipe)) if ranks.first else (), progress.say)
    if ranks.first:
        write_recipe(path, recipe)
    log = Log(path, run.step) if ranks.first else None
    trainer = Trainer(run, model, optimizer, _loader(run, ranks), ranks, log, progress, listeners)
    run.model.train()
    listeners.on_start(run)
    progress.start(run.step)
    try:
        trainer.train()
    except KeyboardInterrupt:
        progress.close()
        raise Interrupted(_interrupted(trainer)) from None
    finally:
        progress.close()
        if log is not None:
            log.close()
    if not run.finished:
        progress.say(f"{path}: stopped after step {run.step} of {run.num_steps}; the same recipe continues from there")
    listeners.on_end(run)
    return run


def open_samples(recipe: Recipe) -> Samples:
    """The training samples of a recipe. Raises DataError where there are none."""
    samples = recipe.data.open(recipe.modality_set, "train")
    if samples is None or len(samples) == 0:
        raise DataError("data: the training set is empty; expected at least one sample; check data.root and data.split")
    return samples


def _check_attention(recipe: Recipe, ranks: Ranks) -> None:
    """Raise ConfigError where this device and precision cannot run the attention asked for."""
    import torch

    from maetoolkit.layers.attention import Backend, require

    backend: Backend = getattr(recipe.encoder, "attention", "auto")
    dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
    try:
        require(backend, torch.empty(0, dtype=dtype, device=ranks.device))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _loader(run: Run, ranks: Ranks) -> Any:
    from maetoolkit.data.loader import StepLoader

    recipe = run.recipe
    return StepLoader(
        run.samples,
        recipe.modality_set,
        recipe.data,
        seed=recipe.seed,
        batch=recipe.batch,
        micro_batch=recipe.micro_batch or recipe.batch // ranks.world,
        sampler=None if run.model.sampler.at_the_model else run.model.sampler,
        router=run.model.router,
        num_steps=run.num_steps,
        start=run.step,
        rank=ranks.rank,
        world=ranks.world,
    )


def _interrupted(trainer: Trainer) -> str:
    """Save what is whole, and say where the same command continues."""
    from maetoolkit.train.checkpoint import steps

    run = trainer.run
    saved = [step for step, _ in steps(run.checkpoints)]
    if trainer.ranks.world == 1 and trainer.whole and trainer.log is not None and run.step > max(saved, default=0):
        trainer.log.sync()
        run.save(trainer.optimizer)
        saved.append(run.step)
    where = f"from checkpoint step-{max(saved)}" if saved else "from the beginning; there is no checkpoint yet"
    return f"{run.path}: interrupted at step {run.step} of {run.num_steps}; the same command continues {where}"
