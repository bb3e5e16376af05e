"""Log-mel spectrograms. Axes: C channels, S samples, K frequency bins, M mel bands, T frames."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def mel_of(hertz: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The mel scale, 2595 log10(1 + f / 700) (O'Shaughnessy 1987; HTK)."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def hertz_of(mel: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The inverse of `mel_of`."""
    return 700 * (10 ** (np.asarray(mel) / 2595) - 1)


def mel_edges(num_mels: int, low: float, high: float) -> Float[np.ndarray, "M+2"]:
    """Hertz at equal steps of mel: band m rises from edge m to its centre m + 1 and falls to edge m + 2."""
    return hertz_of(np.linspace(mel_of(np.array(low)), mel_of(np.array(high)), num_mels + 2))


def mel_filters(num_mels: int, num_fft: int, rate: int, low: float, high: float) -> Float[np.ndarray, "M K"]:
    """Triangular mel filters of height 1 on the bins of a Fourier transform of `num_fft` samples at `rate` Hz.

    A weight is the mean of the triangle over the width of its bin, not its value at the bin's middle: so a band that is
    narrower than a bin still has its share of it, and neighbouring bands sum to 1 in every bin between their centres.
    """
    width = rate / num_fft
    borders = (np.arange(num_fft // 2 + 2) - 0.5) * width
    edges = mel_edges(num_mels, low, high)
    areas = _area_below(borders, edges[:-2, None], edges[1:-1, None], edges[2:, None])
    return np.diff(areas, axis=1) / width


def _area_below(x: np.ndarray, left: np.ndarray, middle: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The integral up to x of a triangle that rises from 0 at `left` to 1 at `middle` and falls to 0 at `right`."""
    rising = (np.clip(x, left, middle) - left) ** 2 / (2 * (middle - left))
    falling = ((right - middle) ** 2 - (right - np.clip(x, middle, right)) ** 2) / (2 * (right - middle))
    return rising + falling


@lru_cache(maxsize=16)
def _averaging(num_mels: int, num_fft: int, rate: int, low: float, high: float) -> Tensor:
    filters = mel_filters(num_mels, num_fft, rate, low, high)
    return torch.from_numpy(filters / filters.sum(1, keepdims=True)).float()


def power(waveform: Float[Tensor, "C S"], num_fft: int, window: int, hop: int) -> Float[Tensor, "C K T"]:
    """|Fourier transform|^2 of frames under a Hann window, over the window's energy: white noise has its variance.

    Frame t is the `num_fft` samples from t * hop, of which the window covers the middle ones; nothing is padded.
    """
    hann = torch.hann_window(window)
    spectrum = torch.stft(waveform, num_fft, hop, window, hann, center=False, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square()) / hann.square().sum()


def log_mel(
    waveform: Float[Tensor, "C S"], *, num_mels: int, num_fft: int, window: int, hop: int, rate: int,
    low: float, high: float, floor: float,
) -> Float[Tensor, "C M T"]:  # fmt: skip
    """Natural logarithm of the mean power in each mel band, not below `floor`; the lowest band first."""
    bands = _averaging(num_mels, num_fft, rate, low, high) @ power(waveform, num_fft, window, hop)
    return bands.clamp(min=floor).log()
