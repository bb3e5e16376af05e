"""Figures as images, for slides and notebooks: one sample under several masks, every modality in its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maetoolkit.evaluate.legend import Legend, legend_of
from maetoolkit.evaluate.reconstruct import views

if TYPE_CHECKING:
    from maetoolkit.evaluate.pictures import Picture
    from maetoolkit.modalities.palette import Colour
    from maetoolkit.modality import ModalitySet
    from maetoolkit.model.outputs import Reconstruction

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER, INK, PALE, EMPTY = (255, 255, 255), (32, 34, 40), (120, 124, 134), (243, 244, 246)
GAP, GUTTER, HEADER, LABEL = 6, 16, 30, 116


def reconstruction_figure(
    modalities: ModalitySet, masks: Sequence[Reconstruction], sample: int = 0, tile: int = 160
) -> Image.Image:
    """Input, then masked input and prediction for every mask, then truth; a row for each entry (MultiMAE, figure 1).

    `masks`: reconstructions of one batch, as `with_masks` gives them; tile: width of a picture in pixels, at least 32.
    """
    looks = [views(modalities, done, sample, at_least=tile) for done in masks]
    columns = ["input", *[part for _ in masks for part in ("masked", "predicted")], "truth"]
    rows = {}
    for name in looks[0]:
        pairs = [part for look in looks for part in (look[name].masked, look[name].predicted)]
        rows[name] = [looks[0][name].given, *pairs, looks[0][name].truth]
    breaks = {1, *range(3, 2 * len(masks), 2), 2 * len(masks) + 1}
    legends = {name: legend_of(modalities[modalities.source(name)], row) for name, row in rows.items()}
    return grid_figure(rows, columns, breaks=breaks, legends=legends, tile=tile)


def transfer_figure(
    modalities: ModalitySet, transfers: Mapping[str, Reconstruction], sample: int = 0, tile: int = 160
) -> Image.Image:
    """What each input alone, in the first column, says about every other modality; the truth in the last row."""
    looks = {given: views(modalities, done, sample, at_least=tile) for given, done in transfers.items()}
    names = list(next(iter(looks.values()))) if looks else []
    outputs = [name for name in names if name in modalities.reconstructed]
    rows: dict[str, list[Picture | None]] = {
        given: [look[given].given, *[look[name].predicted for name in outputs]] for given, look in looks.items()
    }
    for look in list(looks.values())[:1]:
        rows["truth"] = [None, *[look[name].truth for name in outputs]]
    return grid_figure(rows, ["given", *outputs], breaks={1}, legends={}, tile=tile)


def grid_figure(
    rows: Mapping[str, Sequence[Picture | None]],
    columns: Sequence[str],
    *,
    breaks: set[int],
    legends: Mapping[str, Legend | None],
    tile: int = 160,
) -> Image.Image:
    """Pictures in named rows and columns, a wider gap before the columns in `breaks`, legends below."""
    heights = [max((_height(p, tile) for p in row if p is not None), default=tile) for row in rows.values()]
    lefts, x = [], LABEL
    for number in range(len(columns)):
        x += GUTTER if number in breaks else 0
        lefts.append(x)
        x += tile + GAP
    kept = {name: legend for name, legend in legends.items() if legend is not None}
    canvas = Image.new("RGB", (x + GAP, HEADER + sum(heights) + GAP * len(rows) + 26 * len(kept) + GAP), PAPER)
    brush, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    for text, left in zip(columns, lefts, strict=True):
        brush.text((left + tile / 2, HEADER / 2), text, fill=PALE, font=font, anchor="mm")
    top = HEADER
    for (name, row), height in zip(rows.items(), heights, strict=True):
        brush.text((LABEL - 12, top + height / 2), name, fill=INK, font=font, anchor="rm")
        for picture, left in zip(row, lefts, strict=True):
            if picture is None:
                brush.rectangle((left, top, left + tile - 1, top + height - 1), fill=EMPTY)
            else:
                canvas.paste(_sized(picture, tile), (left, top))
        top += height + GAP
    for name, legend in kept.items():
        _draw_legend(brush, font, name, legend, top, canvas.width)
        top += 26
    return canvas


def _draw_legend(
    brush: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    name: str,
    legend: Legend,
    top: int,
    width: int,
) -> None:
    middle = top + 13
    brush.text((LABEL - 12, middle), name, fill=PALE, font=font, anchor="rm")
    x: float = LABEL
    entries: list[tuple[str, Colour]] = list(legend.labels)
    if legend.bar:
        brush.text((x, middle), legend.low, fill=INK, font=font, anchor="lm")
        x += brush.textlength(legend.low, font=font) + 8
        for colour in legend.bar:
            brush.rectangle((x, top + 7, x + 5, top + 19), fill=colour)
            x += 5
        entries = []
        brush.text((x + 8, middle), legend.high, fill=INK, font=font, anchor="lm")
    for number, (text, colour) in enumerate(entries):
        if x + 24 + brush.textlength(text, font=font) > width - 60:
            brush.text((x, middle), f"+ {len(entries) - number + legend.more}", fill=PALE, font=font, anchor="lm")
            return
        brush.rectangle((x, top + 7, x + 12, top + 19), fill=colour)
        brush.text((x + 17, middle), text, fill=INK, font=font, anchor="lm")
        x += 32 + brush.textlength(text, font=font)


def _height(picture: Picture, width: int) -> int:
    return max(1, round(picture.shape[0] * width / picture.shape[1]))


def _sized(picture: Picture, width: int) -> Image.Image:
    """The picture at a column's width; enlarged pixels stay sharp where the factor is whole."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    whole = width % image.width == 0
    return image.resize(
        (width, _height(picture, width)), Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS
    )
