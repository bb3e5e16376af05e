"""Fair timing on a noisy machine: the candidates take turns in one run, and ratios of medians are reported."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch


def interleave(candidates: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 2) -> dict[str, list[float]]:
    """Seconds of every call: one call of each candidate per round, in turn, after some rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(warm_up + rounds):
        for name, call in candidates.items():
            start = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def table(seconds: Mapping[str, list[float]], against: str) -> str:
    """Markdown rows: median, spread, and how many times as long as `against` each takes."""
    base = statistics.median(seconds[against])
    rows = ["| | median s | quartiles s | ratio to " + against + " |", "|---|---|---|---|"]
    for name, values in seconds.items():
        low, middle, high = statistics.quantiles(values, n=4)
        rows.append(f"| {name} | {middle:.3f} | {low:.3f} to {high:.3f} | {middle / base:.2f} |")
    return "\n".join(rows)


def provenance(command: str) -> str:
    """The line that stands beside every number: date, commit, hardware, versions, command."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    device = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"{cpu or platform.processor()}, {torch.get_num_threads()} threads"
    )
    return f"`{command}`, {time.strftime('%Y-%m-%d')}, commit {commit}, {device}, torch {torch.__version__}"
