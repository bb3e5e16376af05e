"""What a mask sampler does, at a glance: some masks token by token, and how many tokens of each input they show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from maetoolkit.masking.plan import Layout, MaskPlan

SIDE, GAP = 60.0, 8.0


def masks_svg(plan: MaskPlan, layout: Layout, colours: Mapping[str, str], num: int = 10) -> str:
    """The first `num` samples of a plan in columns, a row for each input; visible tokens in the input's colour."""
    names = list(plan.visible)
    num = min(num, len(next(iter(plan.visible.values()))))
    width, height = num * (SIDE + GAP) - GAP, len(names) * (SIDE + GAP) - GAP
    label = f"{num} masks: visible tokens of {', '.join(names)}"
    parts = [f'<svg class="masks" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">']
    for row, name in enumerate(names):
        flags = plan.visible[name][:num].cpu().numpy()
        rows, columns = _grid(layout.grids.get(name), flags.shape[1])
        cell = SIDE / max(rows, columns)
        left, top = (SIDE - cell * columns) / 2, (SIDE - cell * rows) / 2 + row * (SIDE + GAP)
        for column in range(num):
            x = column * (SIDE + GAP) + left
            size = f'width="{cell * columns:g}" height="{cell * rows:g}"'
            parts.append(f'<rect class="hidden" x="{x:g}" y="{top:g}" {size} rx="1.5"/>')
            path = "".join(
                f"M{x + cell * (token % columns):.2f} {top + cell * (token // columns):.2f}"
                f"h{cell * 0.94:.2f}v{cell * 0.94:.2f}h-{cell * 0.94:.2f}z"
                for token in np.flatnonzero(flags[column])
            )
            parts.append(f'<path d="{path}" fill="{colours[name]}"><title>{escape(name)}</title></path>')
    return "".join([*parts, "</svg>"])


def shares_svg(plan: MaskPlan, colours: Mapping[str, str]) -> str:
    """A stacked bar for each sample of a plan: its visible tokens by input, in the order of the first input's share."""
    counts = {name: flags.sum(1).cpu().numpy() for name, flags in plan.visible.items()}
    totals = np.sum(list(counts.values()), axis=0)
    first = next(iter(counts))
    order = np.lexsort((-totals, -counts[first]))
    bar, height = 12.0, 96.0
    width, scale = bar * len(order) - 2, height / max(1, int(totals.max()))
    parts = [f'<svg class="shares" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="visible tokens by input">']
    for place, sample in enumerate(order):
        bottom = height
        for name, values in counts.items():
            extent = float(values[sample]) * scale
            bottom -= extent
            parts.append(
                f'<rect x="{place * bar:g}" y="{bottom:.2f}" width="{bar - 2:g}" height="{extent:.2f}" '
                f'fill="{colours[name]}"><title>{escape(name)}: {int(values[sample])}</title></rect>'
            )
    return "".join([*parts, "</svg>"])


def _grid(grid: tuple[int, ...] | None, num_tokens: int) -> tuple[int, int]:
    """Rows and columns to show tokens in: their own grid where it is two-dimensional, else close to a square."""
    if grid is not None and len(grid) == 2:
        return grid[0], grid[1]
    columns = math.ceil(math.sqrt(num_tokens))
    return math.ceil(num_tokens / columns), columns
