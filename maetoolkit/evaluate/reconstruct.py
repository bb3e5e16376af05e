"""Reconstructions of fixed samples: what was given, what was hidden, what the model made of it, and the truth.

Axes: B samples, N tokens of a field.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from maetoolkit.evaluate.pictures import draw
from maetoolkit.evaluate.plans import share_visible
from maetoolkit.evaluate.scores import NONE, score
from maetoolkit.masking.plan import Layout
from maetoolkit.modality import Marks
from maetoolkit.randomness import Draw, generator

if TYPE_CHECKING:
    from torch import Tensor

    from maetoolkit.data.source import Samples
    from maetoolkit.evaluate.pictures import Picture
    from maetoolkit.modality import ModalitySet
    from maetoolkit.model.autoencoder import MaskedAutoencoder
    from maetoolkit.model.outputs import Reconstruction
    from maetoolkit.tokens import Batch

SHARES = (1 / 12, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 5 / 6)


@dataclass(frozen=True)
class View:
    """One entry of one sample under one plan; a picture is None where there is nothing to show.

    given: the whole of what the encoder sees a part of; masked: that part; predicted: what the model made of it, with
    the visible patches pasted in. loss: per element of the sample's target tokens. visible, total: tokens seen, of all.
    """

    name: str
    present: bool
    given: Picture | None
    masked: Picture | None
    predicted: Picture | None
    truth: Picture | None
    loss: float | None
    visible: int
    total: int


def choose(num_samples: int, num: int, seed: int = 0) -> list[int]:
    """Indices of at most `num` samples, the same ones every time, in ascending order."""
    chosen = generator(seed, "evaluate.samples", num_samples).permutation(num_samples)[:num]
    return sorted(int(index) for index in chosen)


def batches(samples: Samples, modalities: ModalitySet, indices: Sequence[int], size: int = 16) -> Iterator[Batch]:
    """The samples as evaluation batches (centre crop, no flip), `size` at a time."""
    from maetoolkit.data.loader import evaluation_batch

    for start in range(0, len(indices), size):
        yield evaluation_batch(samples, modalities, indices[start : start + size])


def with_masks(
    model: MaskedAutoencoder, batch: Batch, num: int = 3, seed: int = 0, progress: float = 1.0
) -> list[Reconstruction]:
    """Reconstructions of a batch under `num` masks of the model's own sampler, the same ones every time.

    progress: share of the run that is done, by which samplers may change.
    """
    done = []
    for number in range(num):
        drawn = replace(batch, draw=Draw.of(seed, batch.keys, number), plan=None, route=None)
        done.append(model.reconstruct(drawn, progress=progress))
    return done


def error_by_visible(
    model: MaskedAutoencoder, batches: Sequence[Batch], shares: Sequence[float] = SHARES, seed: int = 0
) -> tuple[list[float], dict[str, list[float]]]:
    """Mean number of visible patches per sample, and loss per element of every output, for each share shown.

    Shown tokens are uniformly random over all inputs, and nested: a larger share adds to a smaller one. NaN where no
    token of an output was hidden.
    """
    num_visible, scores = [], []
    for share in shares:
        seen, found = 0, dict.fromkeys(model.modalities.reconstructed, NONE)
        for batch in batches:
            layout, drawn = Layout.of(model.modalities, batch.fields), Draw.of(seed, batch.keys)
            done = model.reconstruct(batch, share_visible(layout, share, drawn))
            seen += sum(int(flags.sum()) for flags in done.plan.visible.values())
            found = {name: found[name] + score(model.modalities, done, name) for name in found}
        num_visible.append(seen / max(1, sum(len(batch) for batch in batches)))
        scores.append(found)
    return num_visible, {name: [found[name].mean for found in scores] for name in model.modalities.reconstructed}


def views(modalities: ModalitySet, done: Reconstruction, sample: int, at_least: int = 160) -> dict[str, View]:
    """How every entry of one sample looks under a reconstruction; what has neither picture nor loss is left out.

    at_least: pictures whose shorter side has fewer pixels are enlarged.
    """
    looks = {name: _view(modalities, done, name, sample, at_least) for name in modalities}
    return {n: v for n, v in looks.items() if v.loss is not None or v.truth is not None or not v.present}


def _view(modalities: ModalitySet, done: Reconstruction, name: str, sample: int, at_least: int) -> View:
    import torch

    source = modalities.source(name)
    patches, entry = done.patches[source], modalities[source]
    truth, exists = patches.values[sample].cpu(), patches.present[sample].cpu()
    valid = None if patches.valid is None else patches.valid[sample].cpu()
    visible = done.plan.visible[source][sample].cpu() if source in done.plan.visible else torch.zeros_like(exists)
    if not bool(exists.any()):
        return View(name, False, None, None, None, None, None, 0, patches.num_tokens)

    sure = done.confidence[name][sample].cpu() if name in done.confidence else None

    def picture(values: Tensor, valid: Tensor | None, hidden: Tensor, predicted: Tensor) -> Picture | None:
        covered = hidden | ~exists
        marks = Marks(exists, hidden & exists, predicted, sure, patches.positions[sample].cpu())
        covering = covered if bool(covered.any()) else None
        return draw(entry, values, patches.grid, truth, valid=valid, hidden=covering, marks=marks, at_least=at_least)

    nothing = torch.zeros_like(exists)
    real = picture(truth, valid, nothing, nothing)
    given = masked = predicted = loss = None
    if source in modalities.inputs:
        given, masked = real, picture(truth, valid, ~visible, nothing)
    if name in modalities.reconstructed and bool((target := done.plan.target[name][sample].cpu()).any()):
        spread = (-1, *[1] * (truth.ndim - 1))
        made = target & ~visible
        values = truth.where(~made.view(spread), done.predicted[name][sample].cpu())
        measured = None if valid is None else valid | made.view(spread)
        predicted = picture(values, measured, ~(visible | target), made)
        loss = score(modalities, done, name, sample).mean
    return View(name, True, given, masked, predicted, real, loss, int(visible.sum()), int(exists.sum()))
