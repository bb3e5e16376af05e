"""What the laws of maetoolkit are tried on: small clips, depth with holes, and the running-cell mask."""

from __future__ import annotations

import numpy as np

from maetoolkit.masking import Tube
from maetoolkit.modalities import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.testing import ModalityCase, SamplerCase
from maetoolkit_video.running_cell import RunningCell
from maetoolkit_video.video import Video


def colour() -> ModalityCase:
    """Colour, with a standardised target and learned positions."""
    settings = {"standardize": "channel", "position": "learned", "frame_stride": 1}
    return filmed(Video(size=(4, 8, 12), patch=(2, 4, 4), **settings))


def depth() -> ModalityCase:
    """Millimetres with missing measurements."""
    settings = {"scale": 1000.0, "mean": (2.0,), "std": (0.5,), "invalid": 0.0, "frame_stride": 1}
    return filmed(Video(size=(4, 8, 12), patch=(2, 4, 4), channels=1, **settings))


def running_cell() -> SamplerCase:
    """Beside a picture; the law that everything hidden is predicted is broken on purpose."""
    video = Video(size=(2, 4, 4), patch=(1, 2, 2), channels=1, frame_stride=1)
    modalities = ModalitySet(video=video, picture=RGB(size=8, patch=4))
    reason = {"targets": "a share of what is hidden is left out of the decoder"}
    return SamplerCase(RunningCell(sampler=Tube(ratio=0.5)), modalities, expected=reason)


def filmed(video: Video) -> ModalityCase:
    """Frames (T, H, W, C) of random bytes; depths from 1.5 to 2.5 m with a fifth missing where there are such."""

    def examples(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        height, width = shape[-2:]
        frames = draw.integers(0, 256, (video.size[0], height, width, video.channels)).astype(np.uint8)
        if video.invalid is None:
            return frames
        holes = draw.random(frames.shape[:3]) < 0.2
        return np.where(holes, 0, 1500 + 4 * frames[..., 0].astype(np.uint16)).astype(np.uint16)

    return ModalityCase(video, examples=examples)
