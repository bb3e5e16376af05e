"""Pictures of volumes: the middle slices across the three axes, side by side. Axes: X right, Y anterior, Z superior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maetoolkit.modalities.palette import VOID

if TYPE_CHECKING:
    from torch import Tensor

    from maetoolkit.modalities.grid import GridModality
    from maetoolkit.modality import Marks

GAP = 2


def middle_slices(volume: np.ndarray, ground: int | tuple[int, ...] = VOID) -> np.ndarray:
    """(X, Y, Z, C) -> one picture (H, W, C): sagittal, coronal and axial, up and front at the top, on `ground`."""
    x, y, z = (n // 2 for n in volume.shape[:3])
    slices = [np.rot90(part) for part in (volume[x], volume[:, y], volume[:, :, z])]
    height = max(part.shape[0] for part in slices)
    width = sum(part.shape[1] for part in slices) + 2 * GAP
    picture = np.empty((height, width, volume.shape[3]), volume.dtype)
    picture[...] = ground
    left = 0
    for part in slices:
        top = (height - part.shape[0]) // 2
        picture[top : top + part.shape[0], left : left + part.shape[1]] = part
        left += part.shape[1] + GAP
    return picture


def marked(modality: GridModality, picture: np.ndarray, grid: tuple[int, ...] | None, marks: Marks) -> np.ndarray:
    """The slices with hidden blocks under a pattern, and absent ones blank."""
    from maetoolkit.evaluate.pictures import cover

    def pixels(flags: Tensor) -> np.ndarray:
        voxels = modality.elements(flags[None], grid)[0].cpu().numpy()
        return middle_slices(voxels.reshape(*voxels.shape[-3:], 1), 0)[..., 0]

    shown = np.where(pixels(~marks.present)[..., None], np.array(VOID, np.uint8), picture)
    return cover(shown, pixels(marks.hidden & marks.present))
