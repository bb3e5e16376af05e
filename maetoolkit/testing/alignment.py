"""The law that everything about a token has its place on one axis. Axes: B samples, N tokens, T chosen ones."""

from __future__ import annotations

import torch
from torch import Tensor

from maetoolkit.masking.plan import Layout
from maetoolkit.testing.case import SUBJECT, WIDTH, ModalityCase
from maetoolkit.testing.law import law, require
from maetoolkit.testing.optimum import validity_is_kept
from maetoolkit.testing.outcome import present_rows
from maetoolkit.tokens import Field, Patches


@law(
    "alignment",
    why="The model gathers tokens, positions, targets and losses by one index; where these disagree, or numpy-style "
    "broadcasting hides it, it learns the wrong thing without an error.",
    see="patches = case.patches(); field = case.fields()[case.entry]\n"
    "patches.values.shape, patches.present.shape, case.data.layout(field), case.data.num_tokens, case.data.content",
)
def alignment(case: ModalityCase) -> None:
    """Patches, positions, presence, predictions, targets and losses agree on the token axis: number, order and shape;
    `layout` and `num_tokens` say what `patchify` does, and putting patches back together undoes the cut."""
    fields = case.fields()
    _patches_agree(case, fields[case.entry])
    _presence_agrees(case, fields)
    if SUBJECT in case.modalities.outputs:
        _predictions_agree(case)
    else:
        _tokens_agree(case, *_some_tokens(case))


def _patches_agree(case: ModalityCase, raw: Field) -> None:
    data = case.data
    field = data.prepare(raw)
    patches = data.patchify(field)
    num_samples, num_tokens = len(field), data.layout(raw)[1]
    found = tuple(patches.values.shape)
    expected = (num_samples, num_tokens, *data.content)
    require(found == expected, f"patch values of shape {found}, expected (B, num_tokens, *content) = {expected}")
    for name, shape in (("present", patches.present.shape), ("positions", patches.positions.shape[:2])):
        require(shape == expected[:2], f"`{name}` of shape {tuple(shape)}, expected (B, N) = {expected[:2]}")
    require(
        patches.positions.ndim == 3, f"`positions` of shape {tuple(patches.positions.shape)}, expected (B, N, axes)"
    )
    require(patches.present.dtype == torch.bool, f"`present` must be bool, found {patches.present.dtype}")
    if patches.valid is not None:
        require(patches.valid.dtype == torch.bool, f"`valid` must be bool, found {patches.valid.dtype}")
        patches.valid.expand_as(patches.values)
    for given, meaning, num, grid in (
        (raw, "the batch", found[1], patches.grid),
        (field, "the prepared batch", found[1], patches.grid),
        (None, "no batch", data.num_tokens, patches.grid if found[1] == data.num_tokens else data.layout(None)[0]),
    ):
        said = data.layout(given)
        require(said[1] == num, f"`layout` of {meaning} says {said[1]} tokens, expected {num}")
        require(said[0] == grid, f"`layout` of {meaning} says grid {said[0]}, `patchify` {grid}")
    most = f"{found[1]} tokens of a transformed value, `num_tokens` of the declared size says {data.num_tokens}"
    require(found[1] <= data.num_tokens if raw.present.ndim == 2 else found[1] == data.num_tokens, most)
    whole = data.unpatchify(patches.values, patches.grid)
    if whole.shape == field.values.shape:
        same = torch.equal(
            whole.where(_there(case, patches, whole), 0), field.values.where(_there(case, patches, whole), 0)
        )
        require(same, "`unpatchify` of the patches is not what was cut")


def _there(case: ModalityCase, patches: Patches, like: Tensor) -> Tensor:
    """Elements of tokens that exist; what padding holds is nobody's business."""
    there = case.elements(patches.present, patches, like)
    return torch.ones_like(like, dtype=torch.bool) if there is None else there


def _presence_agrees(case: ModalityCase, fields: dict[str, Field]) -> None:
    data = case.data
    patches, counted = case.patches(), Layout.of(case.modalities, fields).present[case.entry]
    same = torch.equal(patches.present, torch.from_numpy(counted))
    require(same, "`present` of the patches is not that of the field, from which samplers plan")
    require(patches.present.any(1).all(), "an entry that is given has no token")
    if fields[case.entry].present.ndim == 1:
        require(patches.present.all(), "tokens of entries that are wholly present are marked absent")
    one = case.transformed(0)
    for what, values, there in (
        ("only None", [None, None], [False, False]),
        ("None and a value", [None, one], [False, True]),
        ("a value and None", [one, None], [True, False]),
    ):
        mixed = data.collate(values)
        found = [bool(flags.any()) for flags in mixed.present]
        marks = f"`collate` of {what} gives `present` {found}; it must mark exactly what is None as absent"
        require(len(mixed) == 2 and found == there, marks)
        cut, said = data.patchify(data.prepare(mixed)), data.layout(mixed)[1]
        require(cut.num_tokens == said, f"of {what}, `patchify` makes {cut.num_tokens} tokens, `layout` says {said}")


def _some_tokens(case: ModalityCase) -> tuple[Patches, Tensor]:
    patches = case.patches()
    return patches, present_rows(patches)[::2].flip(0)


def _tokens_agree(case: ModalityCase, patches: Patches, index: Tensor) -> None:
    model = case.model().eval()
    if case.entry in model.tokenizers:
        values, places = patches.values.flatten(0, 1)[index], patches.positions.flatten(0, 1)[index]
        _has_shape("tokens", model.tokenizers[case.entry](values), (len(index), WIDTH))
        _has_shape("position embeddings", model.positions[case.entry](places, patches.grid), (len(index), WIDTH))


def _predictions_agree(case: ModalityCase) -> None:
    patches, index = _some_tokens(case)
    _tokens_agree(case, patches, index)
    modality, head = case.modality, case.model().eval().heads[SUBJECT]
    own = modality.taught_by() is None
    values = patches.values.flatten(0, 1)[index] if own else case.taught(len(index))
    valid = None if patches.valid is None or not own else patches.valid.flatten(0, 1)[index]
    prediction, target = head(case.features(len(index))), modality.target(values)
    require(len(prediction) == len(index), f"{len(prediction)} predictions for {len(index)} features")
    require(len(target) == len(index), f"{len(target)} targets for {len(index)} patches")
    total, count = _losses(case, prediction, target, valid)
    require(torch.equal(count, modality.token_count(target, valid)), "`token_count` differs from the count of the loss")
    if SUBJECT in case.modalities.reconstructed:
        _has_shape("`to_values`", modality.to_values(prediction, values), tuple(values.shape))
    order = torch.as_tensor(case.random("order").permutation(len(index))[: (len(index) + 1) // 2])
    ordered = None if valid is None else valid[order]
    moved = _losses(case, prediction[order], modality.target(values[order]), ordered)
    for before, after in ((total, moved[0]), (count, moved[1])):
        torch.testing.assert_close(
            after, before[order], rtol=1e-5, atol=1e-6, msg=lambda text: f"losses do not move with their tokens: {text}"
        )
    if valid is not None or validity_is_kept(case):
        _losses(case, prediction, target, torch.zeros_like(values, dtype=torch.bool))
    none = order[:0]
    _losses(case, head(case.features(0)), modality.target(values[none]), None if valid is None else valid[none])


def _losses(case: ModalityCase, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    total, count = case.modality.token_loss(prediction, target, valid)
    for name, numbers in (("sum", total), ("count", count)):
        require(isinstance(numbers, Tensor), f"`token_loss` {name} is {numbers!r}, expected a tensor (T,)")
        _has_shape(f"`token_loss` {name}", numbers, (len(target),))
        require(numbers.dtype == torch.float32, f"`token_loss` {name} must be float32, found {numbers.dtype}")
    require(total.requires_grad, "the sum of `token_loss` has no gradient with respect to the prediction")
    return total, count


def _has_shape(what: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    require(tuple(tensor.shape) == shape, f"{what} of shape {tuple(tensor.shape)}, expected {shape}")
