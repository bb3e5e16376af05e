"""The law that nothing hidden reaches a prediction. Axes: B samples, N tokens, T chosen ones."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.intake import Ready
from maetoolkit.testing.case import DECODERS, ModalityCase, over_content
from maetoolkit.testing.law import law, require
from maetoolkit.testing.outcome import predict, present_rows, with_values
from maetoolkit.tokens import Field

NUM_TRIES = 12


@law(
    "no leak",
    why="A model that sees any part of the answer learns to copy it instead of predicting it.",
    see="patches = case.patches(); tokenizer = case.model().tokenizers[case.entry]\n"
    "values = patches.values[0]; other = values.clone(); other[0] = values[-1]  # then compare the tokens from 1 on\n"
    "tokenizer(values)[1:] == tokenizer(other)[1:]",
)
def no_leak(case: ModalityCase) -> None:
    """A token depends on its own patch alone, and no prediction depends on a patch that is hidden: its gradient with
    respect to hidden values is exactly 0."""
    _each_element_belongs_to_one_patch(case)
    if case.entry in case.modalities.inputs:
        for training in (False, True):
            _tokenizer_sees_one_patch_at_a_time(case, training)
    for decoder in DECODERS:
        _hidden_content_reaches_no_prediction(case, case.model(decoder).eval())


def _each_element_belongs_to_one_patch(case: ModalityCase) -> None:
    field = case.prepared()
    before = case.data.patchify(field).values
    flat, draw = field.values.flatten(1), case.random("element")
    for number in draw.integers(flat.shape[1], size=NUM_TRIES):
        other = flat[:1, flat[0] != flat[0, number]]
        if not other.numel():
            continue
        changed = flat.clone()
        changed[0, number] = other[0, int(draw.integers(other.shape[1]))]
        after = case.data.patchify(replace(field, values=changed.view_as(field.values))).values
        num = int(_differ(before, after).sum())
        require(num <= 1, f"one element of the prepared field is part of {num} patches; `patchify` must cut, not blend")


def _differ(before: Tensor, after: Tensor) -> Tensor:
    """Which tokens (B, N) hold other values."""
    same = (before == after) | ((before != before) & (after != after))  # NaN is NaN
    return ~same.reshape(*same.shape[:2], -1).all(2)


def _tokenizer_sees_one_patch_at_a_time(case: ModalityCase, training: bool) -> None:
    patches = case.patches()
    values = patches.values.flatten(0, 1)[present_rows(patches)]
    tokenizer = case.model().tokenizers[case.entry].train(training)
    others = torch.nonzero(_differ(values[:1, None].expand(-1, len(values), *values.shape[1:]), values[None])[0])
    changed = values.clone()
    if len(others):
        changed[0] = values[int(others[-1])]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        outcomes = []
        for given in (values, changed):
            torch.manual_seed(case.seed)  # so that dropout is the same
            outcomes.append(tokenizer(given))
        few = tokenizer(values[: max(1, len(values) // 2)])
    mode = " while training" if training else ""
    num = int((outcomes[0][1:] != outcomes[1][1:]).flatten(1).any(1).sum())
    found = f"changing one patch changed {num} other tokens{mode}; the tokenizer must treat patches one by one"
    require(num == 0, found)
    if not training:
        torch.testing.assert_close(
            few,
            outcomes[0][: len(few)],
            rtol=1e-4,
            atol=1e-5,
            msg=lambda text: f"a token depends on how many there are: {text}",
        )


def _hidden_content_reaches_no_prediction(case: ModalityCase, model: MaskedAutoencoder) -> None:
    fields = case.fields()
    ready = model.cut(case.batch(fields, case.plan(fields)))
    patches = ready.patches[case.entry]
    hidden = ~ready.plan.visible.get(case.entry, torch.zeros_like(patches.present))
    field = case.data.prepare(fields[case.entry])
    elements = case.elements(hidden, patches, field.values)
    values = field.values if elements is not None else patches.values
    if elements is None:
        elements = over_content(hidden, values).expand_as(values)

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
    if content.shape == ready.patches[case.entry].values.shape and content.shape != field.values.shape:
        return with_values(ready, case.entry, content)
    return with_values(ready, case.entry, case.data.patchify(replace(field, values=content)).values)
