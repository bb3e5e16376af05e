"""The log-mel spectrogram against closed forms, scipy and numerical integration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_audio.spectrogram import hertz_of, log_mel, mel_edges, mel_filters, mel_of, power
from scipy.integrate import quad
from scipy.signal import get_window, stft


def test_the_mel_scale_has_its_fixed_points_and_an_inverse() -> None:
    assert mel_of(np.array(0.0)) == 0
    assert mel_of(np.array(1000.0)) == pytest.approx(1000, abs=0.05)
    hertz = np.linspace(0, 12000, 50)
    np.testing.assert_allclose(hertz_of(mel_of(hertz)), hertz, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(num=st.integers(2, 128), power_of_two=st.integers(7, 11), low=st.floats(0, 200), high=st.floats(2000, 8000))
def test_neighbouring_bands_share_every_bin_between_their_centres(
    num: int, power_of_two: int, low: float, high: float
) -> None:
    num_fft = 2**power_of_two
    filters = mel_filters(num, num_fft, 16000, low, high)
    edges = mel_edges(num, low, high)
    width = 16000 / num_fft
    middles = np.arange(num_fft // 2 + 1) * width
    inner = (middles - width / 2 >= edges[1]) & (middles + width / 2 <= edges[-2])
    np.testing.assert_allclose(filters[:, inner].sum(0), 1, atol=1e-9)
    assert filters.min() >= 0
    assert filters.sum(1).min() > 0, "no band is empty, however narrow"
    whole = low >= 0 and edges[-1] <= 8000
    assert whole
    np.testing.assert_allclose(filters.sum(1)[1:] * width, ((edges[2:] - edges[:-2]) / 2)[1:], rtol=1e-6)


def test_a_weight_is_the_mean_of_the_triangle_over_its_bin() -> None:
    filters, edges = mel_filters(12, 256, 16000, 100, 7000), mel_edges(12, 100, 7000)
    width = 16000 / 256
    for band in (0, 3, 11):
        left, middle, right = edges[band : band + 3]
        for number in range(129):
            low, high = (number - 0.5) * width, (number + 0.5) * width
            if high < left or low > right:
                assert filters[band, number] == pytest.approx(0, abs=1e-12)
                continue
            area, _ = quad(np.interp, low, high, args=([left, middle, right], [0, 1, 0], 0, 0), points=[middle])
            assert filters[band, number] == pytest.approx(area / width, abs=1e-6)


def test_wide_bands_agree_with_triangles_sampled_at_the_bins() -> None:
    filters, edges = mel_filters(10, 4096, 16000, 0, 8000), mel_edges(10, 0, 8000)
    bins = np.arange(2049) * 16000 / 4096
    sampled = [np.interp(bins, edges[band : band + 3], [0, 1, 0], 0, 0) for band in range(10)]
    np.testing.assert_allclose(filters, sampled, atol=0.01)


def test_power_is_that_of_scipy() -> None:
    signal = np.random.default_rng(0).standard_normal(4000)
    found = power(torch.from_numpy(signal)[None], 512, 512, 160)[0].numpy()
    hann = get_window("hann", 512)
    _, _, spectrum = stft(signal, nperseg=512, noverlap=352, window=hann, boundary=None, padded=False)
    expected = (np.abs(spectrum) * hann.sum()) ** 2 / np.square(hann).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_white_noise_has_its_variance_in_every_band() -> None:
    noise = 0.1 * torch.randn(1, 400_000, generator=torch.Generator().manual_seed(0))
    bands = log_mel(
        noise, num_mels=20, num_fft=512, window=400, hop=160, rate=16000, low=100, high=7900, floor=1e-12
    ).exp()  # fmt: skip
    torch.testing.assert_close(bands.mean(2)[0], torch.full((20,), 0.01), rtol=0.05, atol=0)


def test_a_tone_is_loudest_in_the_band_it_lies_in() -> None:
    edges = mel_edges(40, 0, 8000)
    for band in (5, 20, 35):
        tone = torch.sin(2 * torch.pi * edges[band + 1] * torch.arange(8000) / 16000)[None]
        bands = log_mel(tone, num_mels=40, num_fft=1024, window=1024, hop=160, rate=16000, low=0, high=8000, floor=1e-9)
        assert int(bands.mean(2).argmax()) == band


def test_silence_is_at_the_floor() -> None:
    bands = log_mel(
        torch.zeros(1, 2000), num_mels=8, num_fft=512, window=400, hop=160, rate=16000, low=0, high=8000, floor=1e-8
    )
    torch.testing.assert_close(bands, torch.full_like(bands, float(np.log(1e-8))))
