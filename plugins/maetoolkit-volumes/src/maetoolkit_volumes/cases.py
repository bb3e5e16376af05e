"""What the laws of maetoolkit are tried on: small scans and labels, of the declared size and of others."""

from __future__ import annotations

import numpy as np

from maetoolkit.testing import ModalityCase
from maetoolkit_volumes.labels import VolumeLabels
from maetoolkit_volumes.volume import Volume

SIZE, PATCH = (4, 8, 6), (2, 4, 3)
OTHER = (3, 9, 6)  # padded along one axis, cropped along another


def scan() -> ModalityCase:
    """One channel, with a standardised target and learned positions."""
    return scanned(Volume(size=SIZE, patch=PATCH, standardize="patch", position="learned"), SIZE)


def channels() -> ModalityCase:
    """Two channels between percentiles."""
    return scanned(Volume(size=SIZE, patch=PATCH, channels=2, normalize="percentile", standardize="channel"), SIZE)


def labels() -> ModalityCase:
    """Three classes."""
    return scanned(VolumeLabels(size=SIZE, patch=PATCH, num_classes=3), SIZE)


def padded_scan() -> ModalityCase:
    """A scan that is not of the declared size."""
    return scanned(Volume(size=SIZE, patch=PATCH), OTHER)


def padded_labels() -> ModalityCase:
    """Labels that are not of the declared size, without a class for what is unknown."""
    return scanned(VolumeLabels(size=SIZE, patch=PATCH, num_classes=3, void=None), OTHER)


def scanned(modality: Volume | VolumeLabels, size: tuple[int, ...]) -> ModalityCase:
    """Values as `read` gives them: random labels, or intensities a fifth of which are 0."""

    def examples(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        if isinstance(modality, VolumeLabels):
            return draw.integers(0, 3, size).astype(np.uint8)
        values = draw.gamma(2.0, 300.0, (*size, modality.channels)).astype(np.float32)
        values[draw.random(size) < 0.2] = 0
        return values[..., 0] if modality.channels == 1 else values

    return ModalityCase(modality, examples=examples)
