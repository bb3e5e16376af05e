"""The gradient of one step: counts of the whole step first, then forward and backward per micro-batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maetoolkit.tokens import map_tensors
from maetoolkit.train.forensics import blame, elsewhere, exploded

if TYPE_CHECKING:
    from torch import Tensor

    from maetoolkit.tokens import Batch
    from maetoolkit.train.distributed import Ranks


@dataclass(frozen=True)
class StepLosses:
    """The losses of one step as they are on the device: the total and each modality's, this rank's shares.

    masking: the part of the total that is the mask sampler's own; None where it does not learn.
    """

    loss: Tensor
    losses: Mapping[str, Tensor]
    masking: Tensor | None = None

    def read(self, ranks: Ranks) -> dict[str, float]:
        """`loss` and `loss/<modality>` of the whole step as numbers; waits for the device, sums over ranks."""
        import torch

        parts = {"loss": self.loss} | {f"loss/{name}": value for name, value in self.losses.items()}
        parts |= {} if self.masking is None else {"loss/(masking)": self.masking}  # no modality can have this name
        names, stacked = list(parts), torch.stack([value.float() for value in parts.values()])
        return dict(zip(names, ranks.sum(stacked).tolist(), strict=True))


def total_counts(
    module: Any, batches: Sequence[Batch], ranks: Ranks, progress: float = 0.0
) -> dict[str, Tensor] | None:
    """The divisor of each output's loss over all micro-batches and ranks; None where there is only one of them."""
    import torch

    if len(batches) == 1 and ranks.world == 1:
        return None
    counts = [module.count(batch, progress) for batch in batches]
    names = list(counts[0])
    summed = ranks.sum(torch.stack([torch.stack([count[name] for name in names]) for count in counts]).sum(0))
    return dict(zip(names, summed, strict=True))


def compute_gradients(
    model: Any, module: Any, batches: Sequence[Batch], step: int, progress: float, ranks: Ranks
) -> StepLosses:
    """Accumulate the exact gradient of a step, however its samples are spread over micro-batches and ranks.

    model: as prepared for all ranks; module: the model itself; step: number of this step, from 1.
    Raises NonFiniteLoss where a loss is NaN or infinite.
    """
    import torch

    totals = total_counts(module, batches, ranks, progress)
    share = 1.0 / (len(batches) * ranks.world)
    given: dict[str, Any] = {} if totals is None else {"totals": totals, "share": share}
    parts, losses, scores, masking = [], [], [], []
    for number, batch in enumerate(batches, 1):
        with ranks.accumulating(model, last=number == len(batches)):
            with ranks.autocast():
                output = model(batch, progress=progress, **given)
            ranks.backward(output.loss)
        parts.append(output.loss.detach())
        masking += [] if output.masking is None else [output.masking.detach()]
        losses.append({name: value.detach() for name, value in output.losses.items()})
        scores.append(
            {name: map_tensors(score, lambda tensor: tensor.detach()) for name, score in output.scores.items()}
        )
        del output
    every = torch.stack([*parts, *(value.to(parts[0].dtype) for part in losses for value in part.values())])
    bad = (~every.isfinite()).any()
    if bool(ranks.sum(bad.float())):
        raise blame(step, batches, losses, scores) if bool(bad) else elsewhere(step)
    summed = {name: torch.stack([part[name] for part in losses]).sum(0) for name in losses[0]}
    own = None
    if module.sampler.learns:  # on all ranks, whatever their batches are, as the numbers are summed over them
        own = torch.stack([torch.zeros_like(parts[0]), *masking]).sum(0)
    return StepLosses(torch.stack(parts).sum(0), summed, own)


def clip_gradients(module: Any, norm: float | None, batches: Sequence[Batch], step: int) -> None:
    """Scale all gradients together to at most `norm`; raises NonFiniteLoss where they have no finite norm."""
    import torch

    if norm is None:
        return
    found = torch.nn.utils.clip_grad_norm_(module.parameters(), norm, foreach=None)
    if not bool(found.isfinite()):
        raise exploded(step, batches, float(found))
