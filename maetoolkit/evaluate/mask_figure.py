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
        places, plane = _places(layout.grids.get(name), flags.shape[1])
        rows, columns = places.max(0, initial=0) + 1
        cell = SIDE / max(rows, columns)
        left, top = (SIDE - cell * columns) / 2, (SIDE - cell * rows) / 2 + row * (SIDE + GAP)
        size = f'width="{cell * plane[1]:g}" height="{cell * plane[0]:g}"'
        for column in range(num):
            x = column * (SIDE + GAP) + left
            for y, across in places[:: plane[0] * plane[1]]:
                corner = f'x="{x + cell * across:g}" y="{top + cell * y:g}"'
                parts.append(f'<rect class="hidden" {corner} {size} rx="1.5"/>')
            path = "".join(
                f"M{x + cell * across:.2f} {top + cell * y:.2f}h{cell * 0.94:.2f}v{cell * 0.94:.2f}h-{cell * 0.94:.2f}z"
                for y, across in places[flags[column]]
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


def _places(grid: tuple[int, ...] | None, num_tokens: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Row and column of every token (N, 2), and the rows and columns of a plane.

    Tokens without a grid of two axes make one plane close to a square; the planes of a grid of more axes (the frames
    of a video, the slices of a volume) stand beside and below each other, one cell apart.
    """
    token = np.arange(num_tokens)
    if grid is None or len(grid) < 2:
        across = max(1, math.ceil(math.sqrt(num_tokens)))
        return np.stack([token // across, token % across], 1), (math.ceil(num_tokens / across), across)
    height, width = grid[-2:]
    plane, inside = np.divmod(token, height * width)
    num_planes = math.prod(grid[:-2])
    across = max(1, math.ceil(math.sqrt(num_planes * (height + 1) / (width + 1))))
    rows = plane // across * (height + 1) + inside // width
    return np.stack([rows, plane % across * (width + 1) + inside % width], 1), (height, width)
