"""Facts about a run for the head of its report: what it is, how long it took, what it ran on."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from maetoolkit.train.recipe import Recipe


def large(value: float) -> str:
    """A count as people read it: 950, 12.3 k, 86.6 M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.3g} {unit}"
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """A span of time in its two largest units."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if days >= 1:
        return f"{int(days)} d {int(hours % 24)} h"
    if hours >= 1:
        return f"{int(hours)} h {int(minutes % 60)} min"
    return f"{int(minutes)} min {int(seconds % 60)} s" if minutes >= 1 else f"{seconds:.0f} s"


def hardware() -> str:
    """The processor this runs on, its cores, and the accelerators there are."""
    import torch

    name = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [f"{name}, {cores} core{'s' * (cores != 1)}"]
    if torch.cuda.is_available():
        parts.insert(0, f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}")
    return "; ".join(parts)


def parameters(model: nn.Module) -> dict[str, int]:
    """Number of parameters by the model's parts, in its own order."""
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    return {name: count for name, count in counts.items() if count}


def training_time(records: Sequence[Mapping[str, Any]], batch: int) -> tuple[float, float] | None:
    """Median samples per second, and the seconds of training that follow from it; None where none was logged."""
    rates = [float(r["samples_per_second"]) for r in records if float(r.get("samples_per_second") or 0) > 0]
    if not rates:
        return None
    rate = statistics.median(rates)
    return rate, max(int(r["step"]) for r in records) * batch / rate


def versions_of(recipe: Recipe) -> str:
    """The versions that trained the run, on one line."""
    return " · ".join(f"{name} {version}" for name, version in recipe.versions.items())
