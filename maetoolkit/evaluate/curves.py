"""The curves of a run, from the records of its log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maetoolkit.evaluate.chart import Line, line_chart
from maetoolkit.modalities.palette import palette

NEUTRAL = "currentColor"
HUES = ((62, 124, 158), (196, 112, 58), (122, 102, 178), (64, 143, 116), (186, 84, 112), (150, 132, 50))
MAX_POINTS = 300


@dataclass(frozen=True)
class Chart:
    """A titled chart: `svg` is safe to put into a page; `note` says the number people look for."""

    title: str
    svg: str
    note: str = ""
    colour: str = NEUTRAL


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """One CSS colour per modality, the same in every figure of a report, and unlike those of the first labels."""
    rows = [*HUES, *palette(len(names) + 10)[10:].tolist()]
    return {name: f"rgb({r},{g},{b})" for name, (r, g, b) in zip(names, rows, strict=False)}


def series(records: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of the records that hold a number under `key`."""
    pairs = [(int(r["step"]), float(r[key])) for r in records if isinstance(r.get(key), int | float)]
    return [step for step, _ in pairs], [value for _, value in pairs]


def loss_names(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The outputs whose losses were logged, in the order of their first record."""
    return list(dict.fromkeys(key[5:] for record in records for key in record if key.startswith("loss/")))


def smooth(values: Sequence[float], span: float) -> list[float]:
    """Exponential moving average over about `span` values, without bias at the start; skips what is not finite."""
    decay, total, weight, out = 1 - 1 / max(1.0, span), 0.0, 0.0, []
    for value in values:
        if math.isfinite(value):
            total, weight = decay * total + (1 - decay) * value, decay * weight + (1 - decay)
        out.append(total / weight if weight else value)
    return out if span > 1 else list(values)


def thin(xs: Sequence[float], ys: Sequence[float], most: int = MAX_POINTS) -> tuple[list[float], list[float]]:
    """At most `most` points: means of consecutive ones."""
    size = math.ceil(len(xs) / most) if xs else 1
    starts = range(0, len(xs), size)
    means = [[sum(v[i : i + size]) / len(v[i : i + size]) for i in starts] for v in (xs, ys)]
    return means[0], means[1]


def curve(
    records: Sequence[Mapping[str, Any]],
    key: str,
    title: str,
    colour: str = NEUTRAL,
    *,
    smoothed: bool = True,
    **options: Any,
) -> Chart | None:
    """The chart of one logged number, raw and smoothed; None where it was never logged."""
    steps, values = series(records, key)
    if not values:
        return None
    span = len(values) / 25 if smoothed else 1.0
    xs, ys = thin(steps, values)
    lines = [Line(*thin(steps, smooth(values, span)), colour, title)]
    if span > 1:
        lines.append(Line(xs, ys, colour, faint=True))
    return Chart(title, line_chart(lines, title=f"{title} by step", **options), number(lines[0].ys[-1]), colour)


def training_curves(records: Sequence[Mapping[str, Any]], colours: Mapping[str, str] | None = None) -> list[Chart]:
    """Loss in all and per output, learning rate and throughput, as far as they were logged."""
    names = loss_names(records)
    colours = colours or colours_of(names)
    charts = [curve(records, "loss", "loss, all together", log_y=True)]
    charts += [curve(records, f"loss/{name}", name, colours.get(name, NEUTRAL), log_y=True) for name in names]
    charts += [
        curve(records, "lr", "learning rate", zero=True, smoothed=False),
        curve(records, "samples_per_second", "samples per second", zero=True),
    ]
    return [chart for chart in charts if chart is not None]


def error_curves(
    errors: Mapping[str, Sequence[float]],
    num_visible: Sequence[float],
    trained_at: float | None,
    colours: Mapping[str, str],
) -> list[Chart]:
    """Error of every output against the number of visible patches; `trained_at` is marked."""
    marks = [] if trained_at is None else [(trained_at, "training")]
    charts = []
    for name, values in errors.items():
        points = [(x, y) for x, y in zip(num_visible, values, strict=True) if math.isfinite(y)]
        if points:
            xs, ys = zip(*points, strict=True)
            line = Line(xs, ys, colours.get(name, NEUTRAL), name, dots=True)
            svg = line_chart([line], title=f"{name}: error by visible patches", x_label="visible patches", marks=marks)
            charts.append(Chart(name, svg, f"{number(ys[0])} → {number(ys[-1])}", line.colour))
    return charts


def number(value: float) -> str:
    """A number as people read it."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
