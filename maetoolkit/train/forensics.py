"""What went wrong in a step: a loss that is not finite, with its modality, step and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from maetoolkit.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from maetoolkit.model.balance import Score
    from maetoolkit.tokens import Batch

NUM_KEYS = 8  # sample keys that one message names


class NonFiniteLoss(DataError):  # noqa: N818
    """A loss or gradient is NaN or infinite; raised before the optimizer step, so the weights are still good.

    modality: the first one whose loss is not finite, or None; step: counted from 1; keys: the samples.
    """

    def __init__(self, message: str, modality: str | None, step: int, keys: Sequence[str]) -> None:
        super().__init__(message)
        self.modality, self.step, self.keys = modality, step, tuple(keys)


def blame(
    step: int,
    batches: Sequence[Batch],
    losses: Sequence[Mapping[str, Tensor]],
    scores: Sequence[Mapping[str, Score]],
) -> NonFiniteLoss:
    """The error for a step of which some loss is not finite.

    losses, scores: per micro-batch, each modality's loss and what it was made of.
    """
    for batch, loss, score in zip(batches, losses, scores, strict=True):
        for name, value in loss.items():
            if not bool(value.isfinite()):
                keys = _samples(batch, score[name])
                message = (
                    f"step {step}: the loss of {name!r} is {float(value)}, expected a finite number; samples: "
                    f"{_shown(keys)}. The optimizer step was not taken. Look at these samples for NaN or infinite "
                    "values; if they are sound, lower optimizer.lr or set optimizer.clip_norm"
                )
                return NonFiniteLoss(message, name, step, keys)
    return elsewhere(step)


def elsewhere(step: int) -> NonFiniteLoss:
    """The error of a rank whose own losses are finite while another's, or the objective's weights, are not."""
    message = (
        f"step {step}: a loss on another rank, or the weighting of the losses, is not finite; the step was not taken"
    )
    return NonFiniteLoss(message, None, step, ())


def exploded(step: int, batches: Sequence[Batch], norm: float) -> NonFiniteLoss:
    """The error for a gradient whose norm is not finite although every loss is."""
    keys = [key for batch in batches for key in batch.keys]
    message = (
        f"step {step}: the norm of the gradient is {norm}, expected a finite number, while the losses are finite; "
        f"samples: {_shown(keys)}. The optimizer step was not taken. Lower optimizer.lr, or use precision: fp32"
    )
    return NonFiniteLoss(message, None, step, keys)


def _shown(keys: Sequence[str]) -> str:
    return ", ".join(keys[:NUM_KEYS]) + (f" and {len(keys) - NUM_KEYS} more" if len(keys) > NUM_KEYS else "")


def _samples(batch: Batch, score: Score) -> list[str]:
    """Keys of the samples with a token whose loss is not finite; all of them where only the sum is not."""
    bad = score.sample[~(score.total.isfinite() & score.count.isfinite())]
    return [batch.keys[i] for i in sorted(set(bad.tolist()))] or list(batch.keys)
