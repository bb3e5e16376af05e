"""Colours for people: a perceptual map for scalar fields, a categorical palette for labels, and what legends need."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Colour = tuple[int, int, int]

VOID: Colour = (56, 58, 64)  # not measured, not labelled

# The first colours are chosen by eye, so that few classes look well together; the others follow by distance.
_FIRST: tuple[Colour, ...] = (
    (78, 121, 167),
    (242, 142, 43),
    (89, 161, 79),
    (225, 87, 89),
    (237, 201, 72),
    (176, 122, 161),
    (118, 183, 178),
    (255, 157, 167),
    (156, 117, 95),
    (139, 196, 232),
)


def colour_map(values01: np.ndarray, name: str = "plasma_r") -> np.ndarray:
    """Colours uint8 (H, W, 3) of scalars (H, W) in [0, 1]; what lies outside is clipped, NaN becomes `VOID`.

    The default runs from yellow (0) to deep blue (1) with evenly perceived steps, and holds neither grey, black nor
    white, so that hidden patches and invalid pixels stay distinguishable.
    """
    import numpy as np
    from matplotlib import colormaps

    values = np.asarray(values01, dtype=np.float64)
    known = ~np.isnan(values)
    colours = colormaps[name](np.clip(np.where(known, values, 0.0), 0.0, 1.0), bytes=True)[..., :3]
    return np.where(known[..., None], colours, np.array(VOID, np.uint8)).astype(np.uint8)


def scale(low: str, high: str, steps: int = 24, name: str = "plasma_r") -> tuple[tuple[str, Colour], ...]:
    """Legend entries of a continuous scale: `low` and `high` name its ends, the colours between have no name."""
    import numpy as np

    colours = colour_map(np.linspace(0.0, 1.0, steps)[None], name)[0].tolist()
    names = [low, *[""] * (steps - 2), high]
    return tuple((text, (int(r), int(g), int(b))) for text, (r, g, b) in zip(names, colours, strict=True))


def palette(num_classes: int) -> np.ndarray:
    """Well separated colours uint8 (num_classes, 3); the first ones do not depend on how many follow.

    After 1024 classes (token codebooks) colours repeat: nobody could tell more of them apart.
    """
    import numpy as np

    size = min(1024, max(32, 1 << (max(1, num_classes) - 1).bit_length()))
    colours = np.array(_colours(size), np.uint8)
    return colours[np.arange(num_classes) % size]


@cache
def _colours(size: int) -> tuple[Colour, ...]:
    """Extend the first colours by the one farthest from all chosen ones (and from `VOID`), in the OKLab space."""
    import numpy as np

    levels = np.arange(20, 256, 7)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _oklab(candidates)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    pleasant = (lab[:, 0] > 0.42) & (lab[:, 0] < 0.92) & (chroma > 0.05) & (chroma < 0.19)
    candidates, lab = candidates[pleasant], lab[pleasant]
    chosen = [np.array(colour) for colour in _FIRST]
    distance = np.full(len(lab), np.inf)
    for colour in [np.array(VOID), *chosen]:
        distance = np.minimum(distance, np.linalg.norm(lab - _oklab(colour[None]), axis=1))
    while len(chosen) < size:
        best = int(distance.argmax())
        chosen.append(candidates[best])
        distance = np.minimum(distance, np.linalg.norm(lab - lab[best], axis=1))
    return tuple((int(r), int(g), int(b)) for r, g, b in chosen)


def _oklab(colours: np.ndarray) -> np.ndarray:
    """OKLab coordinates (..., 3) of sRGB colours 0..255 (Ottosson 2020): distance is near to how people see it."""
    import numpy as np

    srgb = colours / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_cone = [
        [0.41222147, 0.53633254, 0.05144599],
        [0.21190350, 0.68069955, 0.10739696],
        [0.08830246, 0.28171884, 0.62997870],
    ]
    cone = np.cbrt(linear @ np.array(to_cone).T)
    to_lab = [
        [0.21045426, 0.79361779, -0.00407205],
        [1.97799850, -2.42859221, 0.45059371],
        [0.02590404, 0.78277177, -0.80867577],
    ]
    return cone @ np.array(to_lab).T
