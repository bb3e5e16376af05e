"""Findings: what a report knows of a model, computed once from fixed samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from maetoolkit.evaluate.baselines import Comparison, compare_done, continuous, mean_map, predict
from maetoolkit.evaluate.interaction import Interaction, interaction
from maetoolkit.evaluate.reconstruct import SHARES, batches, choose, error_by_visible, with_masks
from maetoolkit.masking.plan import Layout
from maetoolkit.randomness import Draw

if TYPE_CHECKING:
    from torch import Tensor

    from maetoolkit.data.source import Samples
    from maetoolkit.masking.plan import MaskPlan
    from maetoolkit.model.autoencoder import MaskedAutoencoder
    from maetoolkit.model.outputs import Reconstruction
    from maetoolkit.tokens import Batch

Subset = Literal["validation", "training"]


@dataclass(frozen=True)
class Effort:
    """How many samples are looked at, and how many masks of each."""

    pictures: int = 6
    masks: int = 3
    errors: int = 32
    compared: int = 64
    averaged: int = 128


@dataclass(frozen=True)
class Findings:
    """Everything a report shows of a model, besides its log.

    subset: where the samples are from; batch: those with pictures, laid out as `layout`; masks: reconstructions of it,
    one per mask; transfers: input -> everything else predicted from it alone; num_visible, errors: loss per output by
    visible patches; comparisons: (given, output) -> losses beside the baselines', given "" for the sampler's own masks;
    draws: plans of one sample; interactions: what one patch in another hue changes, for the samples where it applies.
    """

    subset: Subset
    batch: Batch
    masks: Sequence[Reconstruction]
    transfers: Mapping[str, Reconstruction]
    num_visible: Sequence[float]
    errors: Mapping[str, Sequence[float]]
    num_samples: Mapping[str, int]
    comparisons: Mapping[tuple[str, str], Comparison]
    draws: MaskPlan | None
    layout: Layout
    interactions: Sequence[Interaction] = ()


def look(
    model: MaskedAutoencoder,
    training: Samples,
    validation: Samples | None,
    effort: Effort | None = None,
    seed: int = 0,
    progress: float = 1.0,
) -> Findings:
    """Look at a model with fixed samples: those of the validation set, or of the training set where there is none.

    progress: share of the run that is done. The model is switched to evaluation for the time; its weights and random
    state stay as they are.
    """
    effort, modalities = effort or Effort(), model.modalities
    use, subset = (validation, "validation") if validation is not None and len(validation) else (training, "training")
    was_training = model.training
    model.eval()
    try:
        (batch,) = batches(use, modalities, choose(len(use), effort.pictures, seed), effort.pictures)
        layout = Layout.of(modalities, batch.fields)
        compared = list(batches(use, modalities, choose(len(use), effort.compared, seed)))
        num_batches = -(-effort.errors // len(compared[0]))
        num_visible, errors = error_by_visible(model, compared[:num_batches], SHARES, seed)
        averaged = list(batches(training, modalities, choose(len(training), effort.averaged, seed)))
        return Findings(
            subset=subset,  # type: ignore[arg-type]
            batch=batch,
            masks=with_masks(model, batch, effort.masks, seed, progress),
            transfers={name: predict(model, batch, [name]) for name in transferable(layout)},
            num_visible=num_visible,
            errors=errors,
            num_samples={
                "errors": sum(len(part) for part in compared[:num_batches]),
                "compared": sum(len(part) for part in compared),
            },
            comparisons=_comparisons(model, compared, averaged, seed, progress),
            draws=_draws(model, layout, seed, progress),
            layout=layout,
            interactions=_interactions(model, batch),
        )
    finally:
        model.train(was_training)


def transferable(layout: Layout) -> list[str]:
    """Inputs that some sample has, and from which there is something else to predict."""
    return [
        name
        for name in layout.inputs
        if layout.present[name].any() and any(source != name for source in layout.sources.values())
    ]


def _comparisons(
    model: MaskedAutoencoder, compared: Sequence[Batch], averaged: Sequence[Batch], seed: int, progress: float
) -> dict[tuple[str, str], Comparison]:
    modalities = model.modalities
    grids = Layout.of(modalities, averaged[0].fields).grids
    regular = [name for name in continuous(modalities) if grids[modalities.source(name)] is not None]
    averages: dict[str, Tensor] = {name: mean_map(modalities, averaged, name) for name in regular}
    found = {}
    done = [with_masks(model, batch, 1, seed, progress)[0] for batch in compared]
    for given in ("", *transferable(Layout.of(modalities, compared[0].fields))):
        if given:
            done = [predict(model, batch, [given]) for batch in compared]
        for name in modalities.reconstructed:
            if modalities.source(name) != given:
                comparison = compare_done(modalities, done, name, averages.get(name))
                if comparison.model.count:
                    found[given, name] = comparison
    return found


def _interactions(model: MaskedAutoencoder, batch: Batch) -> list[Interaction]:
    found = (interaction(model, batch, sample) for sample in range(len(batch)))
    return [one for one in found if one is not None]


def _draws(model: MaskedAutoencoder, layout: Layout, seed: int, progress: float, num: int = 40) -> MaskPlan | None:
    """`num` plans of the sample that has most; None for samplers that must see the content."""
    if model.sampler.needs_content:
        return None
    num_present = sum(layout.present[name].sum(axis=1) for name in layout.inputs)
    sample = int(np.argmax(num_present))
    repeated = {name: flags[[sample] * num] for name, flags in layout.present.items()}
    wide = replace(layout, present=repeated)
    return model.sampler(wide, Draw.of(seed, [f"draw {number}" for number in range(num)]), progress)
