"""Values to try a modality on where its author gives none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from maetoolkit.modalities.grid import GridModality

if TYPE_CHECKING:
    from maetoolkit.modality import Modality

Examples = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
"""`examples(generator, shape)` gives one raw value, as `read` returns them.

shape: the frame (height, width) to make, where values have one (`frame` is overridden); of a regular array without a
frame, the declared shape; () for everything else, whose length or number is then the generator's to choose.
"""


def plain_example(modality: Modality, draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Reals in [0, 1) with an eighth exact zeros, channels last; labels, some of them void, where there are none.

    Raises ValueError for kinds of data that cannot be made up from their settings.
    """
    name = type(modality).__name__
    reason = "" if isinstance(modality, GridModality) else "which is no GridModality"
    if isinstance(modality, GridModality) and modality.num_axes != 2:
        reason = "" if type(modality).transform is GridModality.transform else "which has a `transform` of its own"
    if reason:
        raise ValueError(
            f"cannot make up values of {name}, {reason}: give examples=f, where f(generator, shape) "
            f"returns one raw value as {name}.read does, drawn from the numpy generator; let ragged kinds vary in "
            "length; shape is the frame (height, width) to make, or () where values have none"
        )
    assert isinstance(modality, GridModality)
    if modality.has_channels:
        framed = modality.num_axes == 2 and len(shape) == 2
        values = draw.random((*shape, modality.channels) if framed else shape, np.float32)
        there = draw.random(values.shape[:2]) > 0.125
        return values * there.reshape(*there.shape, *[1] * (values.ndim - there.ndim))
    labels = draw.integers(getattr(modality, "num_classes", 2), size=shape)
    void = getattr(modality, "void", None)
    return labels if void is None else np.where(draw.random(shape) < 0.125, void, labels)
