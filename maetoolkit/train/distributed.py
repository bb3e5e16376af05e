"""Ranks: the one place that knows of accelerate and of other processes."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Module = TypeVar("Module", bound="nn.Module")


class Ranks:
    """The processes of a run: where the model lives, and sums over all of them.

    accelerate carries the model and the optimizer, never the loader. The world is what
    `torchrun` or `accelerate launch` made it; without them it is this process alone.
    """

    def __init__(self, precision: Literal["fp32", "bf16"] = "fp32") -> None:
        import torch
        from accelerate import Accelerator, DistributedDataParallelKwargs

        launched = int(os.environ.get("LOCAL_RANK", -1)) != -1
        # A batch may lack a modality, so a rank may have no gradient for some parameters.
        wrapper = DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=True)
        self._accelerator = Accelerator(
            cpu=launched and not torch.accelerator.is_available(), mixed_precision="no", kwargs_handlers=[wrapper]
        )
        self.precision = precision
        self.device: torch.device = self._accelerator.device
        self.rank: int = self._accelerator.process_index
        self.world: int = self._accelerator.num_processes

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def place(self, model: Module) -> Module:
        """The model on this rank's device."""
        return model.to(self.device)

    def prepare(self, model: nn.Module, optimizer: Any) -> tuple[Any, Any]:
        """The model and optimizer as they take part in a step of all ranks."""
        return self._accelerator.prepare(model, optimizer)

    def autocast(self) -> AbstractContextManager:
        """The arithmetic of a forward pass."""
        import torch

        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()

    def accumulating(self, model: Any, last: bool) -> AbstractContextManager:
        """Around forward and backward of a micro-batch: gradients are exchanged with the `last` one of a step only."""
        return nullcontext() if last else self._accelerator.no_sync(model)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of this rank's share of the step's loss.

        Distributed data parallelism averages over ranks; the shares must be summed, so that is undone here.
        """
        self._accelerator.backward(loss * self.world if self.world > 1 else loss)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over ranks of a tensor that each of them has."""
        return self._accelerator.reduce(tensor, "sum") if self.world > 1 else tensor

    def wait(self) -> None:
        """Return once all ranks have come here."""
        self._accelerator.wait_for_everyone()
