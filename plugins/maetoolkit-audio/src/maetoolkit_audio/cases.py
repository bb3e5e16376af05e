"""How `maetool plugins check audio` tries what this plugin offers: half a second of noise at 800 Hz."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maetoolkit_audio.audio import Audio
from maetoolkit_audio.codes import AudioCodes
from maetoolkit_audio.time_frequency import TimeFrequency

if TYPE_CHECKING:
    import numpy as np

    from maetoolkit.testing import ModalityCase, SamplerCase

SMALL = Audio(sample_rate=800, seconds=0.48, num_mels=8, window=64, hop=32, patch=4)  # 12 frames, 2 x 3 tokens


def audio() -> ModalityCase:
    """One channel, standardised by itself."""
    from maetoolkit.testing import ModalityCase

    return ModalityCase(SMALL, examples=sound)


def stereo() -> ModalityCase:
    """Two channels, standardised by the dataset."""
    from maetoolkit.testing import ModalityCase

    return ModalityCase(SMALL.replace(channels=2, standardize="dataset", mean=-3, std=2), examples=sound)


def codes() -> ModalityCase:
    """Codes of its patches."""
    from maetoolkit.testing import ModalityCase

    return ModalityCase(AudioCodes(num_codes=8, code_dim=4), source=SMALL, examples=sound)


def time_frequency() -> SamplerCase:
    """Time and frequency of two microphones."""
    from maetoolkit.modality import ModalitySet
    from maetoolkit.testing import SamplerCase

    return SamplerCase(TimeFrequency(), ModalitySet(left=SMALL, right=SMALL.replace(num_mels=4)))


def sound(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Noise that lasts for a clip or longer."""
    noise: np.ndarray = draw.standard_normal((shape[0], int(draw.integers(384, 600)))).astype("float32")
    return noise
