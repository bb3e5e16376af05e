"""Recordings out of files: decoding with libsndfile, mixing down and resampling. Axes: C channels, S samples."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float32

SUFFIXES = (".wav", ".ogg", ".flac", ".mp3")
MAX_BYTES = 1 << 30
UNKNOWN_SIZES = (8, 2**32 + 7)  # of WAV files that were written to a pipe
FULL_SCALE = 1 - 2**-15
MOST_CLIPPED = 0.001


def decode(data: bytes) -> tuple[Float32[np.ndarray, "C S"], int]:
    """A sound file's waveform in [-1, 1] (floating formats may exceed it) and its sample rate in Hz.

    Raises ValueError for empty, unknown, truncated or oversized (above 1 GiB decoded) files, and for NaN.
    """
    import soundfile

    if not data:
        raise ValueError("the file is empty (zero bytes); expected a recording; copy it again, or remove it")
    size = int.from_bytes(data[4:8], "little") + 8
    if data.startswith(b"RIFF") and len(data) < size not in UNKNOWN_SIZES:  # libsndfile mends such a header in silence
        raise ValueError(f"truncated recording: its header says {size} bytes, found {len(data)}")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            num_frames, rate = file.frames, file.samplerate
            if num_frames * file.channels * 4 > MAX_BYTES:
                raise ValueError(
                    f"{num_frames / rate:.0f} seconds of {file.channels} channels need more than the 1 GiB allowed; "
                    "cut the recording into shorter files"
                )
            waveform = file.read(dtype="float32", always_2d=True).T
    except soundfile.LibsndfileError as error:
        raise ValueError(
            f"expected a recording ({' '.join(SUFFIXES)}), found a damaged or unknown file ({error.error_string}); "
            "copy it again, convert it, or remove it"
        ) from None
    require_samples(waveform)
    return np.ascontiguousarray(waveform), rate


def require_samples(waveform: np.ndarray) -> None:
    """Raise ValueError where a waveform has no sample, or one that is NaN or infinite."""
    if not waveform.size:
        raise ValueError("the recording has zero length; expected at least one sample: remove the file, or repair it")
    if not np.isfinite(waveform).all():
        raise ValueError("expected finite samples, found NaN or infinity; repair or remove the file")


def require_unclipped(waveform: np.ndarray) -> None:
    """Raise ValueError where more than one sample in a thousand lies at full scale or beyond."""
    share = float((np.abs(waveform) >= FULL_SCALE).mean())
    if share > MOST_CLIPPED:
        raise ValueError(
            f"the recording is clipped: {share:.1%} of its samples lie at full scale or beyond, at most "
            f"{MOST_CLIPPED:.1%} may; record it at a lower level, leave it out, or set `clipped: accept`"
        )


def with_channels(waveform: np.ndarray, num: int, mix_down: bool) -> np.ndarray:
    """The waveform with `num` channels: as it is, or mixed down to one. Raises ValueError where it has others."""
    found = len(waveform)
    if found == num:
        return waveform
    if num == 1 and mix_down:
        return waveform.mean(0, keepdims=True)
    remedy = "set `mix_down: true`, or `channels`" if num == 1 else "set `channels`, or mix the files"
    raise ValueError(f"expected {num} channel{'s' if num > 1 else ''}, found {found}; {remedy}")


def with_rate(waveform: np.ndarray, found: int, rate: int, resample: bool) -> np.ndarray:
    """The waveform at `rate` Hz, by a polyphase filter. Raises ValueError where it must not be resampled."""
    if found == rate:
        return waveform
    if not resample:
        raise ValueError(f"expected {rate} Hz, found {found} Hz; set `resample: true`, or `sample_rate: {found}`")
    from scipy.signal import resample_poly

    divisor = math.gcd(found, rate)
    resampled: np.ndarray = resample_poly(waveform, rate // divisor, found // divisor, axis=1)
    return resampled.astype(np.float32)
