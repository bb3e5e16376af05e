"""Small line charts as inline SVG: text of the page's own font and colours, a few kilobytes each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 360, 216
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 12, 34


@dataclass(frozen=True)
class Line:
    """One line of a chart; a faint one is drawn thin and pale behind the others."""

    xs: Sequence[float]
    ys: Sequence[float]
    colour: str
    name: str = ""
    faint: bool = False
    dashed: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Axis:
    """From numbers to pixels; logarithmic where that is asked for."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a number."""
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low)

    def ticks(self, num: int = 5) -> list[float]:
        """Round numbers inside the axis: steps of 1, 2 or 5, or 1, 2, 5 per decade where it is long and logarithmic."""
        if self.log and self.high / self.low > 8:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for mantissas in ((1, 2, 5), (1, 3), (1,)):
                found = [m * 10.0**d for d in decades for m in mantissas if self.low <= m * 10.0**d <= self.high]
                if len(found) <= num + 2:
                    break
            return found
        rough = (self.high - self.low) / num
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * m for m in (1, 2, 5, 10) if size * m >= 0.9 * rough)
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def label_of(value: float) -> str:
    """A number as short as an axis can take it."""
    if value == 0:
        return "0"
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if suffix == 'k' else limit):.4g}{suffix}"
    return f"{value:.0e}".replace("e-0", "e-") if abs(value) < 1e-3 else f"{value:.4g}"


def extent(values: Sequence[float], *, log: bool = False, zero: bool = False) -> tuple[float, float]:
    """Lowest and highest finite value with a little air (from 0 where `zero`); never an empty range."""
    finite = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    if not finite:
        return (0.1, 1.0) if log else (0.0, 1.0)
    low, high = min(finite), max(finite)
    if log:
        air = max((high / low) ** 0.06, 1.02)
        return low / air, high * air
    air = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return (min(0.0, low) if zero else low - air), high + air


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_label: str = "step",
    log_y: bool = False,
    zero: bool = False,
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """An SVG element with axes, grid, lines, and named vertical marks; `title` is for screen readers."""
    xs = [x for line in lines for x in line.xs]
    low, high = (min(xs), max(xs)) if xs else (0.0, 1.0)
    x_axis = Axis(low, high if high > low else low + 1, LEFT, WIDTH - RIGHT)
    log_y = log_y and all(y > 0 for line in lines for y in line.ys if math.isfinite(y))
    y_axis = Axis(*extent([y for line in lines for y in line.ys], log=log_y, zero=zero), HEIGHT - BOTTOM, TOP, log_y)
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for tick in y_axis.ticks():
        y = y_axis(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 3.5:.1f}" text-anchor="end">{label_of(tick)}</text>')
    for tick in x_axis.ticks():
        parts.append(
            f'<text class="tick" x="{x_axis(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" '
            f'text-anchor="middle">{label_of(tick)}</text>'
        )
    parts.append(
        f'<text class="tick label" x="{WIDTH - RIGHT}" y="{HEIGHT - 3}" text-anchor="end">{escape(x_label)}</text>'
    )
    for x, name in marks:
        if x_axis.low <= x <= x_axis.high:
            at, right = x_axis(x), x_axis(x) < WIDTH * 0.66
            parts.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
            parts.append(
                f'<text class="tick" x="{at + (5 if right else -5):.1f}" y="{TOP + 9}" '
                f'text-anchor="{"start" if right else "end"}">{escape(name)}</text>'
            )
    parts += [_path(line, x_axis, y_axis) for line in sorted(lines, key=lambda line: not line.faint)]
    return "".join([*parts, "</svg>"])


def _path(line: Line, x_axis: Axis, y_axis: Axis) -> str:
    points = [
        (x_axis(x), y_axis(y))
        for x, y in zip(line.xs, line.ys, strict=True)
        if math.isfinite(y) and (y > 0 or not y_axis.log)
    ]
    if not points:
        return ""
    data = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    kind = " ".join(["line", *(["faint"] if line.faint else []), *(["dashed"] if line.dashed else [])])
    name = f"<title>{escape(line.name)}</title>" if line.name else ""
    path = f'<path class="{kind}" d="{data}" stroke="{line.colour}">{name}</path>'
    shown = points if line.dots else points[:1] if len(points) == 1 else []
    return path + "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{line.colour}"/>' for x, y in shown)
