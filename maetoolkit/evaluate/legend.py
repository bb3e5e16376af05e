"""The legend of a modality's pictures: a colour bar for a scale, or the labels that occur."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from maetoolkit.evaluate.pictures import Picture
    from maetoolkit.modalities.palette import Colour
    from maetoolkit.modality import Modality

MOST = 24


@dataclass(frozen=True)
class Legend:
    """Either a colour bar from `low` to `high`, or labels with their colours and how many more there are."""

    bar: tuple[Colour, ...] = ()
    low: str = ""
    high: str = ""
    labels: tuple[tuple[str, Colour], ...] = ()
    more: int = 0


def legend_of(modality: Modality, pictures: Iterable[Picture | None]) -> Legend | None:
    """What a reader of these pictures needs; None where the modality states nothing.

    Entries without a name continue the colour bar of the one before (see `palette.scale`). Labels are kept where their
    colour occurs in the pictures, the most frequent ones first.
    """
    entries = tuple(modality.legend())
    if not entries:
        return None
    if any(not name for name, _ in entries):
        return Legend(bar=tuple(colour for _, colour in entries), low=entries[0][0], high=entries[-1][0])
    counts = _count([picture for picture in pictures if picture is not None])
    shown = sorted((e for e in entries if counts.get(e[1])), key=lambda entry: -counts[entry[1]])
    return Legend(labels=tuple(shown[:MOST]), more=max(0, len(shown) - MOST)) if shown else None


def _count(pictures: list[Picture]) -> dict[Colour, int]:
    if not pictures:
        return {}
    pixels = np.concatenate([picture.reshape(-1, 3) for picture in pictures]).astype(np.int64)
    codes, counts = np.unique(pixels @ np.array([65536, 256, 1]), return_counts=True)
    return {(int(c) >> 16, int(c) >> 8 & 255, int(c) & 255): int(n) for c, n in zip(codes, counts, strict=True)}
