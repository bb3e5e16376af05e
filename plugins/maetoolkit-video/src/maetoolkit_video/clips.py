"""Which frames of a video make a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def indices(num_frames: int, num: int, step: int, short: str, stream: np.random.Generator | None) -> list[int]:
    """`num` frame numbers, `step` apart, in a video of `num_frames`: from a random start, or the middle without stream.

    With `short` "hold" the last frame of a video that is too short stands until the clip is full.
    Raises ValueError for one that is too short otherwise, and for one without frames.
    """
    span = (num - 1) * step + 1
    if num_frames < 1 or (num_frames < span and short == "error"):
        fits = (num_frames - 1) // (num - 1) if num > 1 else 0
        remedy = f"set frame_stride to at most {fits}, or short to hold" if fits else "set short to hold, or remove it"
        raise ValueError(
            f"expected at least {span} frames for a clip of {num}, {step} apart, found {num_frames}; {remedy}"
        )
    spare = max(0, num_frames - span)
    start = spare // 2 if stream is None else int(stream.integers(spare + 1))
    return [min(start + step * i, num_frames - 1) for i in range(num)]
