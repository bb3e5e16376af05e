"""Mask plans made for looking at a model. Axes: B samples, N tokens of a field."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from maetoolkit.masking.sampler import complete

if TYPE_CHECKING:
    from maetoolkit.masking.plan import Layout, MaskPlan
    from maetoolkit.randomness import Draw


def given_only(layout: Layout, names: Collection[str]) -> MaskPlan:
    """All tokens of `names` are visible, none of the other inputs; what is hidden is predicted.

    Raises ValueError for a name that the encoder is not given.
    """
    unknown = [name for name in names if name not in layout.inputs]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not given to the encoder; there are: {', '.join(layout.inputs)}")
    visible = {n: layout.present[n] if n in names else np.zeros_like(layout.present[n]) for n in layout.inputs}
    return complete(layout, visible, "masked")


def given_and_patches(layout: Layout, name: str, tokens: Sequence[int]) -> MaskPlan:
    """All present tokens of every other input are visible, and only those numbered `tokens` of the input `name`."""
    visible = {other: layout.present[other].copy() for other in layout.inputs}
    chosen = np.isin(np.arange(layout.present[name].shape[1]), tokens)
    visible[name] = layout.present[name] & chosen
    return complete(layout, visible, "masked")


def share_visible(layout: Layout, share: float, draw: Draw) -> MaskPlan:
    """A random `share` of each sample's present input tokens is visible, at least one and never all of them.

    The order is the same for every share, so that a larger share shows what a smaller one does, and more.
    """
    present = np.concatenate([layout.present[name] for name in layout.inputs], axis=1)
    order = np.where(present, draw.uniform("evaluate.share", present.shape[1]), np.inf)
    rank = order.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    num_present = present.sum(axis=1, keepdims=True)
    num_visible = np.clip(np.rint(share * num_present), 1, np.maximum(num_present - 1, 1)).astype(int)
    flags = present & (rank < num_visible)
    edges = np.cumsum([layout.present[name].shape[1] for name in layout.inputs])[:-1]
    return complete(layout, dict(zip(layout.inputs, np.split(flags, edges, axis=1), strict=True)), "masked")
