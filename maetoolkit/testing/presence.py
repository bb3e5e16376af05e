"""The law that what is absent does not matter. Axes: B samples, N tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from maetoolkit.masking.plan import Layout
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.testing.case import DECODERS, ModalityCase, over_content
from maetoolkit.testing.law import law, require
from maetoolkit.testing.outcome import gradients, numbers_of, with_values
from maetoolkit.tokens import Field


@law(
    "presence",
    why="Otherwise padding trains the model, and one broken file destroys it.",
    see="fields = case.fields(2); field = fields[case.entry]\n"
    "absent = dataclasses.replace(field, values=field.values * float('nan'), present=torch.zeros_like(field.present))\n"
    "case.model()(case.batch({**fields, case.entry: absent})).losses",
)
def presence(case: ModalityCase) -> None:
    """Values of absent entries and absent tokens (NaN, infinite, huge, another sample's) change no bit of any loss,
    count or gradient."""
    fields = case.fields(num_samples=4)
    field = fields[case.entry]
    kept = torch.tensor([True, False, True, False])
    whole = kept if field.present.ndim == 1 else field.present & kept[:, None]
    patterns = [("absent entries", whole, ~kept.view(-1, *[1] * (field.values.ndim - 1)))]
    patches = case.patches(4)
    there = torch.from_numpy(Layout.of(case.modalities, fields).present[case.entry])
    some = there & torch.as_tensor(case.random("presence").random(there.shape) < 0.5)
    for present in (some, there) if field.present.ndim == 2 else (some,):
        absent = case.elements(~present, patches, field.values)
        if absent is not None:
            patterns.append(("absent tokens", present, absent))
    for decoder in DECODERS:
        model = case.model(decoder)
        for what, present, absent in patterns:
            _nothing_changes(case, model, fields, what, present, absent)
        _absent_patches_change_nothing(case, model, {**fields, case.entry: replace(field, present=some)})


def _nothing_changes(
    case: ModalityCase,
    model: MaskedAutoencoder,
    fields: Mapping[str, Field],
    what: str,
    present: Tensor,
    absent: Tensor,
) -> None:
    field = fields[case.entry]
    expected = None
    for filling, filler in _fillers(field.values):
        values = torch.where(absent, filler, field.values)
        found = _outcome(case, model, {**fields, case.entry: replace(field, values=values, present=present)})
        expected = expected or found
        _same(expected, found, what, filling)


def _absent_patches_change_nothing(case: ModalityCase, model: MaskedAutoencoder, fields: Mapping[str, Field]) -> None:
    """The same where they are cut already, for kinds of data whose elements cannot be told to be a token's."""
    ready, expected = model.cut(case.batch(fields)), None
    patches = ready.patches[case.entry]
    absent = over_content(~patches.present, patches.values)
    for filling, filler in list(_fillers(patches.values))[:3]:
        values = torch.where(absent, filler, patches.values)
        found = numbers_of(model, with_values(ready, case.entry, values))
        expected = expected or found
        _same(expected, found, "patches of absent tokens", filling)


def _same(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], what: str, filling: str) -> None:
    for name, number in expected.items():
        same = torch.equal(number, found[name])
        require(same, f"{name} changes when the values of {what} become {filling}")


def _fillers(values: Tensor) -> Iterator[tuple[str, Tensor]]:
    yield "zero", torch.zeros_like(values)
    yield "those of another sample", values.roll(1, 0)
    if values.is_floating_point():
        for number in (torch.nan, torch.inf, 1e30):
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
    return {**counts, **losses, **gradients(model)}
