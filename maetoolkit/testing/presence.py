"""The law that what is absent does not matter. Axes: B samples, N tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.testing.case import DECODERS, ModalityCase
from maetoolkit.testing.law import law, require
from maetoolkit.tokens import Field


@law("presence")
def presence(case: ModalityCase) -> None:
    """Values of absent entries and absent tokens (NaN, infinite, huge, another sample's) change no bit of any loss or
    gradient. Otherwise padding trains the model, or one broken file destroys it."""
    fields = case.fields(num_samples=4)
    field = fields[case.field]
    whole = torch.tensor([True, False, True, False])
    single = _single_tokens(case, field)
    for decoder in DECODERS:
        model = case.model(decoder)
        for present, absent in [(whole, ~whole.view(-1, *[1] * (field.values.ndim - 1))), *single]:
            _nothing_changes(case, model, fields, present, absent)


def _single_tokens(case: ModalityCase, field: Field) -> list[tuple[Tensor, Tensor]]:
    """Presence by token, and the elements of the raw field that absent tokens are made of, where that can be told."""
    if field.present.ndim != 1:
        return []
    model = case.model()
    ready = model.cut(case.batch(case.fields(len(field))))
    present = torch.as_tensor(case.random("presence").random(ready.patches[case.field].present.shape) < 0.5)
    absent = case.elements(~present, ready, field.values)
    return [] if absent is None else [(present, absent)]


def _nothing_changes(
    case: ModalityCase, model: MaskedAutoencoder, fields: Mapping[str, Field], present: Tensor, absent: Tensor
) -> None:
    field = fields[case.field]
    expected = None
    for what, filler in _fillers(field.values):
        values = torch.where(absent, filler, field.values)
        found = _outcome(case, model, {**fields, case.field: replace(field, values=values, present=present)})
        expected = expected or found
        for name, number in expected.items():
            same = torch.equal(number, found[name])
            kind = "absent entries" if present.ndim == 1 else "absent tokens"
            require(same, f"{name} changes when the values of {kind} become {what}")


def _fillers(values: Tensor) -> Iterator[tuple[str, Tensor]]:
    yield "zero", torch.zeros_like(values)
    yield "those of another sample", values.roll(1, 0)
    if values.is_floating_point():
        for number in (torch.nan, torch.inf, -torch.inf, 1e30):
            yield f"{number}", torch.full_like(values, number)
    elif values.dtype != torch.bool:
        info = torch.iinfo(values.dtype)
        for number in (info.min, info.max):
            yield f"{number}", torch.full_like(values, number)


def _outcome(case: ModalityCase, model: MaskedAutoencoder, fields: Mapping[str, Field]) -> dict[str, Tensor]:
    model.zero_grad()
    batch = case.batch(fields)
    output = model(batch)
    output.loss.backward()
    counts = {f"the count of {name}": count for name, count in model.count(batch).items()}
    losses = {f"the loss of {name}": loss.detach() for name, loss in output.losses.items()}
    gradients = {f"the gradient of {n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {**counts, **losses, **gradients}
