"""Pictures of one entry: hidden patches under a neutral pattern, invalid pixels blanked, small pictures enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from maetoolkit.modalities.palette import VOID

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor

    from maetoolkit.modality import Marks, Modality

    Picture = UInt8[np.ndarray, "H W 3"]

GROUND = (203, 205, 210)
HATCH = (186, 188, 195)
HATCH_PERIOD = 8


def pixels_of(flags: np.ndarray, grid: Sequence[int] | None, height: int, width: int) -> np.ndarray | None:
    """bool (height, width), the pixels of the tokens flagged (N,), for grids laid out over the picture; else None.

    A grid of one axis runs from left to right.
    """
    if grid is None or len(grid) > 2:
        return None
    rows, columns = (1, *grid) if len(grid) == 1 else grid
    if height % rows or width % columns or rows * columns != flags.size:
        return None
    cells = flags.reshape(rows, columns)
    return cells.repeat(height // rows, axis=0).repeat(width // columns, axis=1)


def enlarge(picture: Picture, at_least: int = 160) -> Picture:
    """Repeat pixels until the shorter side has `at_least` of them; larger pictures stay as they are."""
    factor = max(1, -(-at_least // min(picture.shape[:2])))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def cover(picture: Picture, hidden: np.ndarray) -> Picture:
    """Lay a neutral hatched pattern over the pixels `hidden`, bool (H, W)."""
    rows, columns = np.indices(hidden.shape)
    stripe = np.expand_dims((rows + columns) % HATCH_PERIOD < 2, -1)
    pattern = np.where(stripe, np.array(HATCH, np.uint8), np.array(GROUND, np.uint8))
    return np.where(hidden[..., None], pattern, picture)


def draw(
    modality: Modality,
    values: Tensor,
    grid: tuple[int, ...] | None,
    truth: Tensor,
    *,
    valid: Tensor | None = None,
    hidden: Tensor | None = None,
    marks: Marks | None = None,
    at_least: int = 160,
) -> Picture | None:
    """The picture of one sample's patch values (N, *content), enlarged; None where the modality draws none.

    truth: fixes the range of colours. valid: pixels that were not measured are blanked (what was predicted there
    is shown by leaving them valid). hidden: (N,), patches under the pattern. marks: the same and more, for kinds of
    data that draw their tokens themselves.
    """
    drawn = None if marks is None else modality.draw(values, grid, marks, truth)
    if drawn is not None:
        return drawn
    if hidden is not None:
        values = values.masked_fill(hidden.view(-1, *[1] * (values.ndim - 1)), 0)
    picture = modality.picture(values, grid, truth)
    if picture is None:
        return None
    if valid is not None:
        measured = modality.unpatchify(valid.expand_as(values)[None], grid)[0].cpu().numpy()
        if measured.shape[-2:] == picture.shape[:2]:
            known = measured.reshape(-1, *picture.shape[:2], 1).max(axis=0)
            picture = np.where(known, picture, np.array(VOID, np.uint8))
    picture = enlarge(picture, at_least)
    if hidden is not None:
        covered = pixels_of(hidden.cpu().numpy(), grid, *picture.shape[:2])
        picture = picture if covered is None else cover(picture, covered)
    return picture
