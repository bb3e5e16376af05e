"""The laws of the loss: the ideal prediction is best, and everything stays finite. Axes: T chosen tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch

from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import complete
from maetoolkit.testing.case import DECODERS, SUBJECT, ModalityCase
from maetoolkit.testing.law import Inapplicable, law, require
from maetoolkit.tokens import Field

NUM_TRIES = 4


@law("optimum")
def optimum(case: ModalityCase) -> None:
    """No prediction scores better than `ideal(target)`, token by token, and what is not valid does not count.
    Otherwise training converges to something else than the truth."""
    if SUBJECT not in case.modalities.outputs:
        raise Inapplicable("the modality is not predicted")
    patches = case.data.patchify(case.data.prepare(case.fields()[case.field]))
    values = patches.values.flatten(0, 1)
    valid = None if patches.valid is None else patches.valid.flatten(0, 1)
    modality, head = case.modality, case.model().heads[SUBJECT].eval()
    target = modality.target(values)
    with torch.no_grad():
        ideal = modality.ideal(target).float()
        best, _ = modality.token_loss(ideal, target, valid)
        require(best.isfinite().all(), "the loss of the ideal prediction is not finite")
        for number in range(NUM_TRIES):
            noise = torch.as_tensor(case.random("noise", number).standard_normal(tuple(ideal.shape), "float32"))
            guesses = {f"the ideal plus {scale} of noise": ideal + scale * noise for scale in (1e-2, 0.1, 1.0, 100.0)}
            guesses["a prediction of noise"] = noise
            guesses["a prediction of the head"] = head(case.features(len(values), number)).float()
            for what, guess in guesses.items():
                score, _ = modality.token_loss(guess, target, valid)
                better = score < best - 1e-5 * best.abs() - 1e-6
                first = int(better.int().argmax())
                found = f"{what} scores {float(score[first])}, the ideal prediction {float(best[first])}"
                require(not better.any(), found)
        nothing = torch.zeros_like(target if valid is None else valid, dtype=torch.bool)
        total, count = modality.token_loss(ideal + noise, target, nothing)
        require(not total.any() and not count.any(), "elements that are not `valid` count in the loss")


@law("finite")
def finite(case: ModalityCase) -> None:
    """Losses and gradients are finite with no, one or all tokens visible, and where nothing is valid, constant or
    absent; a batch with nothing to learn from has loss 0."""
    for decoder in DECODERS:
        model = case.model(decoder)
        for what, fields in _batches(case):
            for how, plan in _plans(case, fields):
                model.zero_grad()
                output = model(case.batch(fields, plan))
                output.loss.backward()
                require(output.loss.isfinite(), f"loss {float(output.loss.detach())} with {what} and {how}")
                bad = [n for n, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
                require(not bad, f"gradient of {', '.join(bad[:3])} is not finite with {what} and {how}")
                if not any(flags.any() for flags in plan.target.values()):
                    require(float(output.loss.detach()) == 0, f"a loss without targets with {what} and {how}")


def _batches(case: ModalityCase) -> Iterator[tuple[str, dict[str, Field]]]:
    fields = case.fields(2)
    field = fields[case.field]
    yield "ordinary values", fields
    nothing = torch.zeros_like(field.values, dtype=torch.bool)
    yield "no valid element", {**fields, case.field: replace(field, valid=nothing)}
    constants = [0] if field.values.is_floating_point() else [0, getattr(case.data, "void", None)]
    for number in constants:
        if number is not None:
            yield (
                f"all values {number}",
                {**fields, case.field: replace(field, values=torch.full_like(field.values, number))},
            )
    absent = torch.zeros_like(field.present)
    yield "one entry absent", {**fields, case.field: replace(field, present=absent)}
    yield "everything absent", {name: replace(f, present=torch.zeros_like(f.present)) for name, f in fields.items()}


def _plans(case: ModalityCase, fields: Mapping[str, Field]) -> Iterator[tuple[str, MaskPlan]]:
    layout = Layout.of(case.modalities, fields)
    none = {name: layout.present[name] & False for name in layout.inputs}
    one = {name: flags.copy() for name, flags in none.items()}
    first = layout.inputs[0]
    one[first][:, 0] = layout.present[first][:, 0]
    every = {name: layout.present[name] for name in layout.inputs}
    yield "no visible token", complete(layout, none, "masked")
    yield "one visible token", complete(layout, one, "masked")
    yield "all tokens visible", complete(layout, every, "masked")
    yield "all tokens visible and scored", complete(layout, every, "all")
