"""The law that nothing hidden reaches a prediction. Axes: B samples, N tokens, T chosen ones."""

from __future__ import annotations

import torch
from torch import Tensor

from maetoolkit.model.autoencoder import MaskedAutoencoder, Ready
from maetoolkit.testing.case import DECODERS, ModalityCase, predict, with_values
from maetoolkit.testing.law import law, require
from maetoolkit.tokens import Field, Patches

NUM_TRIES = 12


@law("no leak")
def no_leak(case: ModalityCase) -> None:
    """A token depends on its own patch alone, and no prediction depends on a patch that is hidden: its gradient with
    respect to hidden values is exactly 0. Otherwise a model can copy the answer instead of learning it."""
    _each_element_belongs_to_one_patch(case)
    if case.field in case.modalities.inputs:
        _tokenizer_sees_one_patch_at_a_time(case)
    for decoder in DECODERS:
        _hidden_content_reaches_no_prediction(case, case.model(decoder).eval())


def _prepared(case: ModalityCase) -> Field:
    return case.data.prepare(case.fields()[case.field])


def _each_element_belongs_to_one_patch(case: ModalityCase) -> None:
    field = _prepared(case)
    before = case.data.patchify(field).values.flatten(2)
    flat, draw = field.values.flatten(1), case.random("element")
    for number in draw.integers(flat.shape[1], size=NUM_TRIES):
        other = flat[:1, flat[0] != flat[0, number]]
        if not other.numel():
            continue
        changed = flat.clone()
        changed[0, number] = other[0, int(draw.integers(other.shape[1]))]
        after = case.data.patchify(Field(changed.view_as(field.values), field.present, field.valid)).values.flatten(2)
        num = int((before != after).any(2).sum())
        require(num <= 1, f"one element of the prepared field is part of {num} patches; `patchify` must cut, not blend")


def _tokenizer_sees_one_patch_at_a_time(case: ModalityCase) -> None:
    values = case.data.patchify(_prepared(case)).values.flatten(0, 1)
    tokenizer = case.model().tokenizers[case.field].eval()
    with torch.no_grad():
        tokens = tokenizer(values)
        changed = values.clone()
        changed[0] = values[-1]
        after = tokenizer(changed)
        few = tokenizer(values[: max(1, len(values) // 2)])
    num = int((tokens[1:] != after[1:]).flatten(1).any(1).sum())
    require(num == 0, f"changing one patch changed {num} other tokens; the tokenizer must treat patches one by one")
    torch.testing.assert_close(
        few, tokens[: len(few)], rtol=1e-4, atol=1e-5, msg=lambda text: f"a token depends on how many there are: {text}"
    )


def _hidden_content_reaches_no_prediction(case: ModalityCase, model: MaskedAutoencoder) -> None:
    fields = case.fields()
    ready = model.cut(case.batch(fields, case.plan(fields)))
    hidden = ~ready.plan.visible.get(case.field, torch.zeros_like(ready.patches[case.field].present))
    field = case.data.prepare(fields[case.field])
    elements = case.elements(hidden, ready, field.values)
    values = field.values if elements is not None else ready.patches[case.field].values
    if elements is None:
        elements = hidden.view(*hidden.shape, *[1] * (values.ndim - 2)).expand_as(values)

    def outcome(content: Tensor) -> dict[str, Tensor]:
        return predict(model, _with_content(case, ready, field, content))

    with torch.no_grad():
        before, after = outcome(values), outcome(torch.where(elements, values.roll(1, 0), values))
    for name, prediction in before.items():
        same = torch.equal(prediction, after[name])
        require(same, f"predictions of {name!r} change with the content of hidden patches")
    if values.is_floating_point():
        content = values.clone().requires_grad_()
        total = torch.stack([p.square().sum() for p in outcome(content).values()]).sum()
        (gradient,) = torch.autograd.grad(total, content, allow_unused=True)
        num = 0 if gradient is None else int((gradient[elements] != 0).sum())
        require(num == 0, f"the gradient of the predictions is not 0 at {num} hidden values")


def _with_content(case: ModalityCase, ready: Ready, field: Field, content: Tensor) -> Ready:
    if content.shape == ready.patches[case.field].values.shape and content.shape != field.values.shape:
        return with_values(ready, case.field, content)
    patches: Patches = case.data.patchify(Field(content, field.present, field.valid))
    return with_values(ready, case.field, patches.values)
