"""Contact sheets: frames in rows, so that a clip is one picture. Axes: F frames, H rows, W columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from maetoolkit_video.video import Video


def contact_sheet(frames: np.ndarray) -> np.ndarray:
    """(F, H, W, C) -> (rows H, columns W, C) in reading order; the number of rows divides F, as square as can be."""
    num = len(frames)
    rows = next(n for n in range(math.isqrt(num), 0, -1) if num % n == 0)
    height, width, channels = frames.shape[1:]
    grid = frames.reshape(rows, num // rows, height, width, channels)
    return np.ascontiguousarray(grid.transpose(0, 2, 1, 3, 4).reshape(rows * height, -1, channels))


def colours(video: Video, values: Tensor, grid: tuple[int, ...] | None, truth: Tensor | None) -> np.ndarray:
    """uint8 (F, H, W, 3) of patch values (N, *content): as filmed, or, where the unit is not that of a picture, greys
    between the 2nd and 98th percentile of the truth."""
    import torch

    frames = video.unpatchify(values[None], grid)[0].cpu().float()
    if video.channels == 3 and video.scale is None:
        mean, std = (torch.tensor(s).view(-1, 1, 1, 1) for s in video.statistics())
        frames = frames * std + mean
    else:
        known = (values if truth is None else truth).cpu().float()
        low, high = np.quantile(known.numpy(), [0.02, 0.98])
        frames = (frames - low) / max(high - low, 1e-6)
    bands = video.bands_shown or ((0, 1, 2) if video.channels > 2 else (0, 0, 0))
    shown: np.ndarray = (frames[list(bands)].clamp(0, 1) * 255).round().byte().movedim(0, -1).numpy()
    return shown
