"""The law that the loss leads to the truth. Axes: T chosen tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from maetoolkit.testing.case import SUBJECT, ModalityCase
from maetoolkit.testing.law import Inapplicable, LawError, law, require
from maetoolkit.testing.outcome import present_rows

NUM_TRIES = 4
STEPS = (0.1, 1e-2, 1e-3, 1e-4)  # of the spread of noise, per element


@law(
    "optimum",
    why="Otherwise training converges to something else than the truth.",
    see="values = case.patches().values.flatten(0, 1); target = case.modality.target(values)\n"
    "ideal = case.modality.ideal(target); case.modality.to_values(ideal, values), values\n"
    "case.modality.token_loss(ideal, target, None), case.modality.token_loss(ideal + 0.1, target, None)",
)
def optimum(case: ModalityCase) -> None:
    """No prediction scores better than `ideal(target)`, token by token, and what is not valid does not count; a small
    step against the gradient scores better; `to_values` of the ideal prediction gives the values, and `confidence` is
    a number in [0, 1] per token."""
    if SUBJECT not in case.modalities.outputs:
        raise Inapplicable("the modality is not predicted")
    values, valid = _contents(case)
    target = case.modality.target(values)
    with torch.no_grad():
        ideal = case.modality.ideal(target).float()
        best, _ = case.modality.token_loss(ideal, target, valid)
    require(best.isfinite().all(), "the loss of the ideal prediction is not finite")
    can_fall = torch.zeros(len(best), dtype=torch.bool)  # tokens that some guess scores worse for
    falls = can_fall.clone()
    for what, guess in _guesses(case, ideal):
        with torch.no_grad():
            score, _ = case.modality.token_loss(guess, target, valid)
        better = score < best - 1e-5 * best.abs() - 1e-6
        first = int(better.int().argmax())
        found = f"{what} scores {float(score[first])}, the ideal prediction {float(best[first])}"
        require(not better.any(), found)
        _confident(case, what, guess)
        worse = score > best + 1e-2 * (1 + best.abs())
        can_fall |= worse
        falls |= _descends(case, what, guess, target, valid, worse)
    stuck = int((can_fall & ~falls).sum())
    require(stuck == 0, f"the loss of {stuck} of {len(best)} tokens has no gradient in any prediction that was tried")
    if validity_is_kept(case):
        with torch.no_grad():
            nothing = torch.zeros_like(values, dtype=torch.bool)
            total, count = case.modality.token_loss(guess, target, nothing)
        require(not total.any() and not count.any(), "elements that are not `valid` count in the loss")
    if SUBJECT in case.modalities.reconstructed:
        _undone(case, values, valid, target, ideal, best)


def _guesses(case: ModalityCase, ideal: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Predictions beside the ideal one, by a name for people."""
    head = case.model().heads[SUBJECT].eval()
    for number in range(NUM_TRIES):
        noise = torch.as_tensor(case.random("noise", number).standard_normal(tuple(ideal.shape), "float32"))
        for scale in (1e-2, 0.1, 1.0, 100.0):
            yield f"the ideal plus {scale} of noise", ideal + scale * noise
        yield "a prediction of noise", noise
        with torch.no_grad():
            yield "a prediction of the head", head(case.features(len(ideal), number)).float()


def _descends(
    case: ModalityCase, what: str, guess: Tensor, target: Tensor, valid: Tensor | None, worse: Tensor
) -> Tensor:
    """The tokens (T,) whose loss has a gradient at a guess. Raises LawError where a step against it helps nobody."""
    guess = guess.clone().requires_grad_()
    with torch.enable_grad():
        score, _ = case.modality.token_loss(guess, target, valid)
        require(score.requires_grad, "the sum of `token_loss` has no gradient in the prediction")
        (slope,) = torch.autograd.grad(score.sum(), guess, allow_unused=True)
    require(slope is not None, "the sum of `token_loss` does not depend on the prediction")
    guess, score = guess.detach(), score.detach()
    spread = slope[:, None].flatten(1).square().mean(1).sqrt()
    moves = worse & (spread > 1e-30)  # a softmax that is wholly sure has no slope
    unit = slope / spread.where(moves, 1.0).view(-1, *[1] * (slope.ndim - 1))
    lower = ~moves
    with torch.no_grad():
        for size in STEPS:
            lower |= case.modality.token_loss(guess - size * unit, target, valid)[0] < score
    first = int((~lower).int().argmax())
    found = f"from {what} a small step against the gradient does not lower the loss of {float(score[first])}"
    require(lower.all(), found)
    return moves


def _confident(case: ModalityCase, what: str, guess: Tensor) -> None:
    """Raise LawError where `confidence` is neither None nor a number in [0, 1] for each prediction."""
    with torch.no_grad():
        sure = case.modality.confidence(guess)
    if sure is None:
        return
    shape = tuple(sure.shape)
    require(shape == (len(guess),), f"`confidence` has shape {shape} for {what}, expected {(len(guess),)}")
    inside = (sure >= 0) & (sure <= 1)  # NaN is outside
    wrong = sure[~inside].tolist()[:1]
    require(not wrong, f"`confidence` of {what} is {wrong}, expected numbers in [0, 1]")


def _undone(
    case: ModalityCase, values: Tensor, valid: Tensor | None, target: Tensor, ideal: Tensor, best: Tensor
) -> None:
    """Raise LawError where what the ideal prediction stands for is not the truth, as far as the targets keep it."""
    with torch.no_grad():
        found = case.modality.to_values(ideal, values)
    require(found.shape == values.shape, f"`to_values` gives {tuple(found.shape)} for values {tuple(values.shape)}")
    off = (found.double() - values.double()).abs()
    scale = values.double().abs()[:, None].flatten(1).amax(1).clamp(min=1).view(-1, *[1] * (values.ndim - 1))
    wrong = ~(off <= 1e-4 * scale)
    if valid is not None:
        wrong &= valid
    if not wrong.any() or _equivalent(case, found, values, valid, target, best):
        return
    first = tuple(wrong.nonzero()[0].tolist())
    made, true = float(found[first]), float(values[first])
    raise LawError(f"`to_values` of the ideal prediction gives {made} where the value is {true}")


def _equivalent(
    case: ModalityCase, found: Tensor, values: Tensor, valid: Tensor | None, target: Tensor, best: Tensor
) -> bool:
    """Whether other values are as good: the same set, for a loss that knows no order; the same codes, for targets that
    are fewer than the values."""
    if values.is_floating_point() and not target.is_floating_point():
        return torch.equal(case.modality.target(found.to(values.dtype)), target)
    if target.shape != values.shape or not torch.equal(target, values):
        return False
    with torch.no_grad():
        ideal = case.modality.ideal(found.to(values.dtype)).float()
        score, _ = case.modality.token_loss(ideal, target, valid)
    return bool((score <= best + 1e-4 * best.abs() + 1e-6).all())


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
