"""The optimizer: AdamW with the papers' weight decay groups; the learning rate is a function of the step alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from maetoolkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch
    from torch import Tensor, nn

REFERENCE_BATCH = 256  # the batch that a base learning rate is given for
STATE_NAMES = ("step", "exp_avg", "exp_avg_sq")


def peak_learning_rate(base: float, batch: int) -> float:
    """The linear scaling rule: base * effective batch / 256 (Goyal et al., 2017)."""
    return base * batch / REFERENCE_BATCH


def learning_rate(
    step: int, *, peak: float, num_steps: int, warmup_steps: int = 0, warmup: float = 0.0, final: float = 0.0
) -> float:
    """The learning rate of step number `step` (from 0): linear from `warmup` to `peak`, then a half cosine to `final`.

    The cosine reaches `final` at `num_steps`, one step after the last.
    """
    if step < warmup_steps:
        return warmup + (peak - warmup) * step / warmup_steps
    done = min(1.0, (step - warmup_steps) / max(1, num_steps - warmup_steps))
    return final + (peak - final) * 0.5 * (1.0 + math.cos(math.pi * done))


def parameter_groups(model: nn.Module, weight_decay: float, decay_all: bool = False) -> list[dict[str, Any]]:
    """AdamW's groups: no decay on biases, norms and whatever `model.no_weight_decay()` names (positions, tokens).

    `decay_all` decays every parameter, as the published code does.
    """
    from timm.optim import param_groups_weight_decay

    if decay_all:
        return [{"params": [p for p in model.parameters() if p.requires_grad], "weight_decay": weight_decay}]
    undecayed: set[str] = getattr(model, "no_weight_decay", set)()
    return param_groups_weight_decay(model, weight_decay, no_weight_decay_list=undecayed)


def build_optimizer(
    model: nn.Module,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    weight_decay: float = 0.05,
    decay_all: bool = False,
) -> torch.optim.AdamW:
    """AdamW over the model's parameters where they are now; the fused kernel wherever the device has one.

    Raises ConfigError where nothing can be trained.
    """
    from torch.optim import AdamW

    groups = parameter_groups(model, weight_decay, decay_all)
    trained = [parameter for group in groups for parameter in group["params"]]
    if not trained:
        raise ConfigError("the model has no parameter that can be trained; unfreeze some")
    fused = all(p.device.type in ("cpu", "cuda", "mps", "xpu") and p.is_floating_point() for p in trained)
    return AdamW(groups, lr=lr, betas=betas, eps=eps, fused=fused)


def set_learning_rate(optimizer: Any, lr: float) -> None:
    """Use `lr` for the next step, scaled per group where layer decay asks for it (`lr_scale`)."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def optimizer_state(model: nn.Module, optimizer: Any) -> dict[str, Tensor]:
    """AdamW's state by parameter name, `<parameter>/<exp_avg | exp_avg_sq | step>`; empty before the first step."""
    return {
        f"{name}/{key}": optimizer.state[parameter][key]
        for name, parameter in _trained(model)
        if parameter in optimizer.state
        for key in STATE_NAMES
    }


def load_optimizer_state(model: nn.Module, optimizer: Any, state: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_state` gave; a parameter without state has never had a gradient.

    Raises ValueError where the state names parameters that the model does not have.
    """
    parameters = dict(_trained(model))
    unknown = sorted({key.rpartition("/")[0] for key in state} - set(parameters))
    if unknown:
        raise ValueError(f"optimizer state of unknown parameters: {', '.join(unknown[:5])}")
    for key, value in state.items():
        name, _, part = key.rpartition("/")
        parameter = parameters[name]
        moved = value.to(parameter.device, copy=True)
        optimizer.state[parameter][part] = moved


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
