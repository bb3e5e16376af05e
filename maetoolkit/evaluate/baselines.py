"""What a model must beat: the mean of each image, and the mean map of the training images.

Both are given to the same loss at the same tokens as the model's prediction. Axes: B samples, N tokens of a field.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from maetoolkit.evaluate.plans import given_only
from maetoolkit.evaluate.reconstruct import batches, choose
from maetoolkit.evaluate.scores import NONE, Score, score, score_of, targets
from maetoolkit.masking.plan import Layout, MaskPlan

if TYPE_CHECKING:
    from torch import Tensor

    from maetoolkit.data.source import Samples
    from maetoolkit.modality import ModalitySet
    from maetoolkit.model.autoencoder import MaskedAutoencoder
    from maetoolkit.model.outputs import Reconstruction
    from maetoolkit.tokens import Batch


@dataclass(frozen=True)
class Comparison:
    """The model's score and the baselines', per element, on the same valid elements of the same tokens."""

    model: Score = NONE
    mean_image: Score = NONE
    mean_map: Score | None = None

    def gain(self) -> float:
        """Share of the stronger baseline's loss that the model does away with (below 0: it is worse); NaN without."""
        known = [part.mean for part in (self.mean_image, self.mean_map) if part is not None and part.count]
        best = min(known, default=0.0)
        return 1 - self.model.mean / best if best else math.nan


def continuous(modalities: ModalitySet) -> tuple[str, ...]:
    """Outputs whose targets are numbers, which have a mean (labels have none)."""
    found = []
    for name in modalities.reconstructed:
        entry = modalities[modalities.source(name)]
        patches = entry.patchify(entry.prepare(entry.collate([None])))
        if patches.values.is_floating_point():
            found.append(name)
    return tuple(found)


def mean_of_image(target: Tensor, valid: Tensor, num_axes: int) -> Tensor:
    """The mean over the tokens and pixels of each sample: (B, N, *content) -> (B, 1, *content), equal at all pixels.

    num_axes: axes of the token grid; content has as many axes of pixels, behind those of its channels.
    """
    axes = (1, *range(max(2, target.ndim - num_axes), target.ndim))
    total = target.where(valid, 0.0).sum(axes, keepdim=True)
    return (total / valid.sum(axes, keepdim=True).clamp(min=1)).expand(-1, 1, *target.shape[2:])


def mean_map(modalities: ModalitySet, training: Iterable[Batch], name: str) -> Tensor:
    """The mean target (1, N, *content) of one output per token and element, over the valid ones of many samples.

    Where no sample was ever valid: the mean of all. Raises ValueError where there are no samples.
    """
    entry = modalities[modalities.source(name)]
    total = count = None
    for batch in training:
        patches = entry.patchify(entry.prepare(batch.fields[modalities.source(name)]))
        target, valid = targets(modalities, patches, name)
        part, known = target.double().where(valid, 0.0).sum(0), valid.double().sum(0)
        total, count = (part, known) if total is None or count is None else (total + part, count + known)
    if total is None or count is None:
        raise ValueError(f"{name}: expected training samples to average, found none")
    overall = total.sum() / count.sum().clamp(min=1)
    return (total / count.clamp(min=1)).where(count > 0, overall).float()[None]


def compare(
    model: MaskedAutoencoder,
    samples: Samples,
    modalities: ModalitySet,
    train_samples: Samples | None,
    given: Collection[str],
    target: str,
    num: int = 64,
    num_train: int = 128,
    seed: int = 0,
) -> dict[str, float]:
    """Errors of predicting `target` from all of `given` alone: the model, the image's own mean, the training mean map.

    Returns `model`, `mean_image`, `mean_map` (absent without training samples), `gain` over the stronger baseline, and
    `num` samples; samples that lack the target or all of `given` are left out. Raises ValueError for labels.
    """
    if target not in continuous(modalities):
        raise ValueError(
            f"{target!r} has no mean to compare with; expected one of: {', '.join(continuous(modalities))}"
        )
    if modalities.source(target) in given:
        raise ValueError(f"{target!r} cannot be predicted where all of it is given; leave it out of `given`")
    chosen = list(batches(samples, modalities, choose(len(samples), num, seed)))
    average = None
    if train_samples is not None:
        training = batches(train_samples, modalities, choose(len(train_samples), num_train, seed))
        average = mean_map(modalities, training, target)
    done = (predict(model, batch, given) for batch in chosen)
    result = compare_done(modalities, done, target, average)
    found = {"model": result.model.mean, "mean_image": result.mean_image.mean, "gain": result.gain()}
    if result.mean_map is not None:
        found["mean_map"] = result.mean_map.mean
    return {**found, "num": float(sum(len(batch) for batch in chosen))}


def predict(model: MaskedAutoencoder, batch: Batch, given: Collection[str]) -> Reconstruction:
    """Everything else from all of `given` alone; samples that lack any of `given` have no targets."""
    layout = Layout.of(model.modalities, batch.fields)
    plan = given_only(layout, given)
    complete = np.logical_and.reduce([layout.present[name].any(axis=1) for name in given])
    kept = torch.from_numpy(complete)[:, None]
    return model.reconstruct(batch, MaskPlan(plan.visible, {name: flags & kept for name, flags in plan.target.items()}))


def compare_done(
    modalities: ModalitySet, done: Iterable[Reconstruction], name: str, average: Tensor | None
) -> Comparison:
    """Score the model, the mean of each image and the map `average` at the target tokens of reconstructions.

    For an output that has no mean (labels) the baselines stay without a score.
    """
    result = Comparison(mean_map=None if average is None else NONE)
    for each in done:
        patches = each.patches[modalities.source(name)]
        target, valid = targets(modalities, patches, name)
        image, mapped = NONE, result.mean_map
        if target.is_floating_point():
            image = score_of(modalities, each, name, mean_of_image(target, valid, len(patches.grid or ())))
        if average is not None and mapped is not None:
            mapped = mapped + score_of(modalities, each, name, average)
        result = Comparison(result.model + score(modalities, each, name), result.mean_image + image, mapped)
    return result
