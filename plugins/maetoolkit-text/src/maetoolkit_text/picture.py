"""Words for people: a cell per token, in rows; what is hidden is a box, what is predicted is tinted by probability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont
    from torch import Tensor

    from maetoolkit.modality import Marks

Colour = tuple[int, int, int]
COLUMNS, MIN_ROWS = 2, 3
CELL = (144, 50)  # width and height in pixels, sized to be read at half that, as in a report's columns
PAPER, INK, WRONG = (255, 255, 255), (32, 34, 40), (176, 32, 36)
BOX, BOX_EDGE = (203, 205, 210), (170, 172, 180)
UNSURE, SURE = (240, 244, 252), (110, 164, 240)
STEPS = 9


def draw_words(
    words: Callable[[Sequence[int]], list[str]], ids: Tensor, marks: Marks, truth: Tensor | None
) -> np.ndarray:
    """uint8 (H, W, 3): the present tokens of ids (N,) in reading order.

    Given words are plain. Hidden ones are boxes. Predicted ones stand on a tint as strong as their probability, with
    the number below, and in red where `truth` (N,) is another word. The size depends on the number of words alone.
    """
    from PIL import Image, ImageDraw

    places = marks.present.nonzero()[:, 0].tolist()
    rows = max(MIN_ROWS, -(-len(places) // COLUMNS))
    canvas = Image.new("RGB", (COLUMNS * CELL[0], rows * CELL[1]), PAPER)
    brush = ImageDraw.Draw(canvas)
    shown = words([int(ids[place]) for place in places])
    for number, (place, word) in enumerate(zip(places, shown, strict=True)):
        corner = number % COLUMNS * CELL[0], number // COLUMNS * CELL[1]
        if bool(marks.hidden[place]):
            _box(brush, corner)
        elif bool(marks.predicted[place]):
            sure = None if marks.confidence is None else float(marks.confidence[place])
            wrong = truth is not None and int(truth[place]) != int(ids[place])
            _predicted(brush, corner, word, sure, wrong)
        else:
            _word(brush, corner, word, INK, 0.5)
    return np.asarray(canvas).copy()


def scale() -> list[tuple[str, Colour]]:
    """The tints from 0 to 100 %, named at both ends."""
    names = ["predicted: 0 %", *[""] * (STEPS - 2), "100 %"]
    return [(name, tint(at / (STEPS - 1))) for at, name in enumerate(names)]


def tint(probability: float) -> Colour:
    """The ground of a word predicted with this probability."""
    red, green, blue = (round(a + (b - a) * probability) for a, b in zip(UNSURE, SURE, strict=True))
    return red, green, blue


def _box(brush: ImageDraw.ImageDraw, corner: tuple[int, int]) -> None:
    brush.rounded_rectangle(_inner(corner), 6, fill=BOX, outline=BOX_EDGE)


def _predicted(brush: Any, corner: tuple[int, int], word: str, probability: float | None, wrong: bool) -> None:
    brush.rounded_rectangle(_inner(corner), 6, fill=tint(0.5 if probability is None else probability))
    colour = WRONG if wrong else INK
    if probability is None:
        return _word(brush, corner, word, colour, 0.5)
    _word(brush, corner, word, colour, 0.36)
    middle = corner[0] + CELL[0] / 2, corner[1] + CELL[1] * 0.78
    brush.text(middle, f"{probability:.0%}", fill=colour, font=font(16), anchor="mm")
    return None


def _word(brush: Any, corner: tuple[int, int], word: str, colour: Colour, height: float) -> None:
    size = next((s for s in range(25, 10, -1) if brush.textlength(word, font=font(s)) <= CELL[0] - 14), 10)
    while len(word) > 2 and brush.textlength(word, font=font(size)) > CELL[0] - 14:
        word = word[:-2] + "…"
    brush.text((corner[0] + CELL[0] / 2, corner[1] + CELL[1] * height), word, fill=colour, font=font(size), anchor="mm")


def _inner(corner: tuple[int, int]) -> tuple[int, int, int, int]:
    return corner[0] + 3, corner[1] + 3, corner[0] + CELL[0] - 4, corner[1] + CELL[1] - 4


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has Latin, Greek, Cyrillic and more."""
    from pathlib import Path

    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
