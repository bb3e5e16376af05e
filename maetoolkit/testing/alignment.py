"""The law that everything about a token has its place on one axis. Axes: B samples, N tokens, T chosen ones."""

from __future__ import annotations

import torch
from torch import Tensor

from maetoolkit.testing.case import SUBJECT, WIDTH, ModalityCase
from maetoolkit.testing.law import law, require


@law("alignment")
def alignment(case: ModalityCase) -> None:
    """Patches, positions, presence, predictions, targets and losses agree on the token axis: number, order and shape;
    putting patches back together undoes the cut."""
    _patches_agree(case)
    _predictions_agree(case)


def _patches_agree(case: ModalityCase) -> None:
    data, raw = case.data, case.fields()[case.field]
    field = data.prepare(raw)
    patches = data.patchify(field)
    num_samples, num_tokens = len(field), data.num_tokens
    found = tuple(patches.values.shape)
    expected = (num_samples, num_tokens, *data.content)
    require(found == expected, f"patch values of shape {found}, expected (B, num_tokens, *content) = {expected}")
    for name, shape in (("present", patches.present.shape), ("positions", patches.positions.shape[:2])):
        require(shape == expected[:2], f"`{name}` of shape {tuple(shape)}, expected (B, N) = {expected[:2]}")
    require(patches.present.dtype == torch.bool, f"`present` must be bool, found {patches.present.dtype}")
    require(bool(patches.present.all()), "tokens of entries that are wholly present are marked absent")
    if patches.valid is not None:
        require(patches.valid.dtype == torch.bool, f"`valid` must be bool, found {patches.valid.dtype}")
        patches.valid.expand_as(patches.values)
    for given, meaning in ((raw, "the batch"), (None, "no batch")):
        grid, num = data.layout(given)
        require(num == num_tokens, f"`layout` of {meaning} says {num} tokens, `num_tokens` {num_tokens}")
        require(grid == patches.grid, f"`layout` of {meaning} says grid {grid}, `patchify` {patches.grid}")
    whole = data.unpatchify(patches.values, patches.grid)
    if whole.shape == field.values.shape:
        require(torch.equal(whole, field.values), "`unpatchify` of the patches is not what was cut")
    blank = data.collate([None, None])
    require(len(blank) == 2 and not blank.present.any(), "`collate` must mark an entry that is None as not present")
    mixed = data.collate([None, case.transformed(0)])
    require(mixed.present.any() and not mixed.present[0].any(), "`collate` must mark exactly what is None as absent")


def _predictions_agree(case: ModalityCase) -> None:
    field = case.data.prepare(case.fields()[case.field])
    patches = case.data.patchify(field)
    index = torch.arange(0, patches.present.numel(), 2).flip(0)
    values = patches.values.flatten(0, 1)[index]
    valid = None if patches.valid is None else patches.valid.flatten(0, 1)[index]
    model = case.model().eval()
    if case.field in model.tokenizers:
        _has_shape("tokens", model.tokenizers[case.field](values), (len(index), WIDTH))
        places = patches.positions.flatten(0, 1)[index]
        _has_shape("position embeddings", model.positions[case.field](places, patches.grid), (len(index), WIDTH))
    if SUBJECT not in case.modalities.outputs:
        return
    modality = case.modality
    prediction, target = model.heads[SUBJECT](case.features(len(index))), modality.target(values)
    require(len(prediction) == len(index), f"{len(prediction)} predictions for {len(index)} features")
    require(len(target) == len(index), f"{len(target)} targets for {len(index)} patches")
    total, count = modality.token_loss(prediction, target, valid)
    for name, numbers in (("sum", total), ("count", count)):
        _has_shape(f"`token_loss` {name}", numbers, (len(index),))
        require(numbers.dtype == torch.float32, f"`token_loss` {name} must be float32, found {numbers.dtype}")
    require(torch.equal(count, modality.token_count(target, valid)), "`token_count` differs from the count of the loss")
    _has_shape("`to_values`", modality.to_values(prediction, values), tuple(values.shape))
    order = torch.as_tensor(case.random("order").permutation(len(index))[: (len(index) + 1) // 2])
    ordered = None if valid is None else valid[order]
    moved = modality.token_loss(prediction[order], modality.target(values[order]), ordered)
    for before, after in ((total, moved[0]), (count, moved[1])):
        torch.testing.assert_close(
            after, before[order], rtol=1e-5, atol=1e-6, msg=lambda text: f"losses do not move with their tokens: {text}"
        )


def _has_shape(what: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    require(tuple(tensor.shape) == shape, f"{what} of shape {tuple(tensor.shape)}, expected {shape}")
