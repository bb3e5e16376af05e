"""The law that everything stays finite, whatever there is to see and to predict. Axes: B samples, N tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch

from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import complete
from maetoolkit.testing.case import DECODERS, ModalityCase
from maetoolkit.testing.law import LawError, law, require
from maetoolkit.tokens import Field


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
