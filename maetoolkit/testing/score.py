"""The laws of the loss: the ideal prediction is best, and everything stays finite. Axes: T chosen tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import complete
from maetoolkit.testing.case import DECODERS, SUBJECT, ModalityCase
from maetoolkit.testing.law import Inapplicable, LawError, law, require
from maetoolkit.testing.outcome import present_rows
from maetoolkit.tokens import Field

NUM_TRIES = 4


@law(
    "optimum",
    why="Otherwise training converges to something else than the truth.",
    see="values = case.patches().values.flatten(0, 1); target = case.modality.target(values)\n"
    "ideal = case.modality.ideal(target)\n"
    "case.modality.token_loss(ideal, target, None), case.modality.token_loss(ideal + 0.1, target, None)",
)
def optimum(case: ModalityCase) -> None:
    """No prediction scores better than `ideal(target)`, token by token, and what is not valid does not count."""
    if SUBJECT not in case.modalities.outputs:
        raise Inapplicable("the modality is not predicted")
    values, valid = _contents(case)
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
        if validity_is_kept(case):
            total, count = modality.token_loss(ideal + noise, target, torch.zeros_like(values, dtype=torch.bool))
            require(not total.any() and not count.any(), "elements that are not `valid` count in the loss")


def _contents(case: ModalityCase) -> tuple[Tensor, Tensor | None]:
    """Patch values of tokens that exist, or a teacher's features of as many, and which elements are valid."""
    patches = case.patches()
    rows = present_rows(patches)
    if case.modality.taught_by() is not None:
        return case.taught(len(rows)), None
    valid = None if patches.valid is None else patches.valid.expand_as(patches.values).flatten(0, 1)[rows]
    return patches.values.flatten(0, 1)[rows], valid


def validity_is_kept(case: ModalityCase) -> bool:
    """Whether patches of this kind ever say that elements were not measured."""
    if case.modality.taught_by() is not None:
        return False
    field = case.fields()[case.entry]
    nothing = replace(field, valid=torch.zeros_like(field.values, dtype=torch.bool))
    return case.data.patchify(case.data.prepare(nothing)).valid is not None


@law(
    "finite",
    why="One infinite or NaN gradient ends a run of weeks; samples that are empty, constant or wholly void do come.",
    see="fields = case.fields(2); field = fields[case.entry]\n"
    "fields[case.entry] = dataclasses.replace(field, values=torch.zeros_like(field.values))\n"
    "output = case.model()(case.batch(fields)); output.loss.backward(); output.losses",
)
def finite(case: ModalityCase) -> None:
    """Losses and gradients are finite with no, one or all tokens visible, and where nothing is valid, all is constant
    or the entry is absent; without targets the loss is 0. A sample with nothing present at all is refused by name."""
    for decoder in DECODERS:
        model = case.model(decoder)
        for what, fields in _batches(case):
            for how, plan in _plans(case, fields):
                model.zero_grad()
                output = model(case.batch(fields, plan))
                require(output.loss.requires_grad, f"the loss has no gradient with {what} and {how}")
                output.loss.backward()
                require(output.loss.isfinite(), f"loss {float(output.loss.detach())} with {what} and {how}")
                bad = [n for n, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
                require(not bad, f"gradient of {', '.join(bad[:3])} is not finite with {what} and {how}")
                if not any(flags.any() for flags in plan.target.values()):
                    require(float(output.loss.detach()) == 0, f"a loss without targets with {what} and {how}")
    _nothing_present_is_refused(case)


def _batches(case: ModalityCase) -> Iterator[tuple[str, dict[str, Field]]]:
    fields = case.fields(2)
    field = fields[case.entry]
    yield "ordinary values", fields
    nothing = torch.zeros_like(field.values, dtype=torch.bool)
    yield "no valid element", {**fields, case.entry: replace(field, valid=nothing)}
    constants = [0] if field.values.is_floating_point() else [0, getattr(case.data, "void", None)]
    for number in constants:
        if number is not None:
            constant = torch.full_like(field.values, number)
            yield f"all values {number}", {**fields, case.entry: replace(field, values=constant)}
    yield "one entry absent", {**fields, case.entry: replace(field, present=torch.zeros_like(field.present))}
    if field.present.ndim == 2:
        first = field.present & (field.present.cumsum(1) == 1)
        yield "one token in each entry", {**fields, case.entry: replace(field, present=first)}


def _plans(case: ModalityCase, fields: Mapping[str, Field]) -> Iterator[tuple[str, MaskPlan]]:
    layout = Layout.of(case.modalities, fields)
    none = {name: layout.present[name] & False for name in layout.inputs}
    one = {name: flags.copy() for name, flags in none.items()}
    first = layout.inputs[0]
    one[first] = layout.present[first] & (layout.present[first].cumsum(1) == 1)
    every = {name: layout.present[name] for name in layout.inputs}
    yield "no visible token", complete(layout, none, "masked")
    yield "one visible token", complete(layout, one, "masked")
    yield "all tokens visible", complete(layout, every, "masked")
    yield "all tokens visible and scored", complete(layout, every, "all")


def _nothing_present_is_refused(case: ModalityCase) -> None:
    fields, last = case.fields(2), torch.tensor([True, False])
    for name, field in fields.items():
        present = last if field.present.ndim == 1 else field.present & last[:, None]
        fields[name] = replace(field, present=present)
    batch = case.batch(fields)
    try:
        case.model()(batch)
    except ValueError as error:
        named = repr(batch.keys[1]) in str(error)
        require(named, f"sample {batch.keys[1]!r} has nothing present; the error does not name it: {error}")
        return
    raise LawError(f"sample {batch.keys[1]!r} has nothing present, and training goes on without an error")
