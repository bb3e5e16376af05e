"""The law that samples of a batch have nothing to do with each other. Axes: B samples, N tokens."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.outputs import Output
from maetoolkit.testing.case import DECODERS, ModalityCase
from maetoolkit.testing.law import law, require
from maetoolkit.tokens import Field, Patches

NUM_SAMPLES = 3


@law(
    "alone",
    why="Otherwise what a sample teaches depends on the batch it happened to be in: on padding, on batch statistics, "
    "on how many GPUs there are.",
    see="together, alone = case.collated(range(3)), case.collated(range(1, 2))\n"
    "# sample 1 of one must be sample 0 of the other, once prepared and cut\n"
    "[case.data.patchify(case.data.prepare(f[case.entry])) for f in (together, alone)]",
)
def alone(case: ModalityCase) -> None:
    """A sample's patches, positions, predictions and losses are the same, to 1e-5, alone and in a batch with others,
    longer or shorter ones."""
    together = case.collated(range(NUM_SAMPLES))
    whole = case.data.patchify(case.data.prepare(together[case.entry]))
    parts = [case.collated(range(i, i + 1)) for i in range(NUM_SAMPLES)]
    for sample, part in enumerate(parts):
        _patches_are_the_same(whole, case.data.patchify(case.data.prepare(part[case.entry])), sample)
    plan = case.plan(together)
    for decoder in DECODERS:
        model = case.model(decoder).eval()
        with torch.no_grad():
            expected = model(case.batch(together, plan))
            for sample, part in enumerate(parts):
                own = _plan_of(case, sample, together, part, plan)
                _predictions_are_the_same(model, expected, model(case.batch(part, own, first=sample)), sample)


def _patches_are_the_same(whole: Patches, part: Patches, sample: int) -> None:
    there, own = whole.present[sample], part.present[0]
    num, alone = int(there.sum()), int(own.sum())
    require(num == alone, f"sample {sample} has {num} tokens in a batch and {alone} alone")
    _close(f"patch values of sample {sample}", part.values[0][own], whole.values[sample][there])
    _close(f"positions of sample {sample}", part.positions[0][own], whole.positions[sample][there])
    if whole.valid is not None and part.valid is not None:
        valid = [p.valid.expand_as(p.values) for p in (whole, part) if p.valid is not None]
        require(torch.equal(valid[1][0][own], valid[0][sample][there]), f"`valid` of sample {sample} differs alone")


def _plan_of(
    case: ModalityCase, sample: int, together: Mapping[str, Field], part: Mapping[str, Field], plan: MaskPlan
) -> MaskPlan:
    """The plan of one sample, on the tokens that it has alone."""
    before, after = Layout.of(case.modalities, together), Layout.of(case.modalities, part)

    def moved(flags: Tensor, entry: str) -> Tensor:
        own = torch.zeros(after.present[entry].shape, dtype=torch.bool)
        own[0, torch.from_numpy(after.present[entry][0])] = flags[sample][
            torch.from_numpy(before.present[entry][sample])
        ]
        return own

    visible = {name: moved(flags, name) for name, flags in plan.visible.items()}
    return MaskPlan(visible, {n: moved(flags, before.sources[n]) for n, flags in plan.target.items()})


def _predictions_are_the_same(model: MaskedAutoencoder, whole: Output, part: Output, sample: int) -> None:
    for name, prediction in part.predictions.items():
        mine = whole.route.sample[name] == sample
        _close(f"predictions of {name!r} for sample {sample}", prediction, whole.predictions[name][mine])
        _close(f"losses of {name!r} for sample {sample}", part.scores[name].total, whole.scores[name].total[mine])
        counts = torch.equal(part.scores[name].count, whole.scores[name].count[mine])
        require(counts, f"counts of {name!r} for sample {sample} differ alone")


def _close(what: str, alone: Tensor, together: Tensor) -> None:
    torch.testing.assert_close(
        alone,
        together,
        rtol=1e-5,
        atol=1e-5,
        equal_nan=True,
        msg=lambda text: f"{what} differ alone and in a batch: {text}",
    )
