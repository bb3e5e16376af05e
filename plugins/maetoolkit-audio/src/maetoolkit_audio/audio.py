"""Audio: a clip of a recording as a log-mel spectrogram, cut into patches of frequency and time.

Axes: B samples, C channels, S samples of a waveform, M mel bands, T frames, N tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field as Setting
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from maetoolkit.modalities.grid import Extent, GridModality

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.modality import Geometry
    from maetoolkit.tokens import Field

COLOURS = "viridis"  # evenly perceived steps, and neither grey, black nor white


class Audio(GridModality):
    """Sound: values (B, C, num_mels, frames) are log-mel spectrograms, the highest band first (AudioMAE, section 3).

    A clip of `seconds` (whole patches of it) begins at random in training and is the middle one in evaluation. Of a
    shorter recording the rest of the tokens are absent. The spectrogram is made in `transform`, where the clip is cut:
    in the loader's workers, beside the device's work, and in the same numbers for every device; only so is it known
    before the batch leaves the host which tokens there are.

    sample_rate: Hz; recordings of another are resampled or refused. channels: spectrograms per entry; recordings of
    more are mixed down to one or refused. clipped: whether recordings with more than 0.1 % of full-scale samples pass.
    window, hop: samples; low, high: Hz (None: half the sample rate); floor: the least power in a band, where the power
    of white noise is its variance (full scale is 1). standardize: by each clip's own mean and std, or by `mean` and
    `std`, the natural logarithm of power in the dataset.
    """

    type: Literal["audio"] = "audio"
    sample_rate: PositiveInt = 16000
    resample: bool = True
    channels: PositiveInt = 1
    mix_down: bool = True
    clipped: Literal["accept", "refuse"] = "accept"
    seconds: PositiveFloat = 10.24
    num_mels: PositiveInt = 128
    window: PositiveInt = 400
    hop: PositiveInt = 160
    low: NonNegativeFloat = 0.0
    high: PositiveFloat | None = None
    floor: Annotated[float, Setting(ge=1e-30)] = 1e-8
    standardize: Literal["clip", "dataset"] | None = "clip"
    mean: float | None = None
    std: PositiveFloat | None = None
    patch: Extent = (16, 16)
    stride: Literal[1] = 1

    size: ClassVar[Any] = property(lambda self: (self.num_mels, self.num_frames))  # type: ignore[misc] # no setting
    suffixes: ClassVar[tuple[str, ...]] = (".wav", ".ogg", ".flac", ".mp3")

    @model_validator(mode="after")
    def _divides(self) -> Audio:
        if len(self.patch) > 2:
            raise ValueError(f"patch: expected 1 or 2 numbers (bands, frames), found {list(self.patch)}")
        rows, columns = self.patch[0], self.patch[-1]
        if self.num_mels % rows:
            lower, upper = self.num_mels // rows * rows, (self.num_mels // rows + 1) * rows
            raise ValueError(
                f"num_mels: expected a multiple of the {rows} bands of a patch, found {self.num_mels}; "
                f"use {f'{lower} or ' if lower else ''}{upper}, or another patch"
            )
        if not self.num_frames:
            least = columns * self.hop / self.sample_rate
            raise ValueError(f"seconds: expected at least the {least:g} of one patch, found {self.seconds:g}")
        return self

    @model_validator(mode="after")
    def _audible(self) -> Audio:
        low, high = self.band
        if not low < high <= self.sample_rate / 2:
            most = self.sample_rate / 2
            raise ValueError(f"high: expected Hz above `low` ({low:g}) and at most {most:g}, found {high:g}")
        if self.window < self.hop:
            raise ValueError(f"window: expected at least the {self.hop} samples of a hop, found {self.window}")
        if (self.standardize == "dataset") != (self.mean is not None and self.std is not None):
            raise ValueError("mean, std: expected both where `standardize` is dataset, and neither elsewhere")
        return self

    @property
    def band(self) -> tuple[float, float]:
        """Lowest and highest frequency in Hz."""
        return self.low, self.sample_rate / 2 if self.high is None else self.high

    @property
    def num_frames(self) -> int:
        """T, the frames of a clip: as many whole patches as fit in `seconds`."""
        return int(self.seconds * self.sample_rate / self.hop + 1e-6) // self.patch[-1] * self.patch[-1]

    @property
    def num_fft(self) -> int:
        """Samples of a Fourier transform: the power of two that holds a window."""
        return 1 << (self.window - 1).bit_length()

    def frame(self, value: np.ndarray) -> None:
        """Sound shares no picture's frame."""

    aspect: ClassVar[Any] = None

    def read(self, data: bytes) -> np.ndarray:
        """The waveform, float32 (C, S), at the declared rate. Raises ValueError saying what is wrong with it."""
        from maetoolkit_audio.reading import decode, require_unclipped, with_channels, with_rate

        waveform, rate = decode(data)
        if self.clipped == "refuse":
            require_unclipped(waveform)
        return with_rate(with_channels(waveform, self.channels, self.mix_down), rate, self.sample_rate, self.resample)

    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        """Waveform (C, S) or (S,) -> spectrogram (C, M, T) of a clip, shorter where the recording is."""
        import numpy as np
        import torch

        from maetoolkit_audio.reading import require_samples
        from maetoolkit_audio.spectrogram import log_mel

        waveform = np.atleast_2d(value)
        if waveform.ndim != 2 or len(waveform) != self.channels or waveform.dtype.kind != "f":
            expected = f"floats ({self.channels}, samples)"
            raise ValueError(f"expected a waveform of {expected}, found {value.dtype} of shape {value.shape}")
        require_samples(waveform)
        length = waveform.shape[1]
        num_frames = min(self.num_frames, -(-length // self.hop))
        spare = max(0, length - self.num_frames * self.hop)
        random = geometry.random("clip")
        start = spare // 2 if random is None else int(random.random() * (spare + 1))
        around = self.num_fft - self.hop  # what the first and last frame see beside their own hop
        first = start - around // 2
        last = first + num_frames * self.hop + around
        clip = np.zeros((self.channels, last - first), np.float32)
        inside = slice(max(first, 0), min(last, length))
        clip[:, inside.start - first : inside.stop - first] = waveform[:, inside]
        low, high = self.band
        bands = log_mel(
            torch.from_numpy(clip), num_mels=self.num_mels, num_fft=self.num_fft, window=self.window, hop=self.hop,
            rate=self.sample_rate, low=low, high=high, floor=self.floor,
        )  # fmt: skip
        return bands.flip(1).contiguous().numpy()

    def collate(self, values: Sequence[np.ndarray | None]) -> Field:
        """Spectrograms (C, M, up to T) to whole clips; tokens beyond the end of a recording are absent."""
        import numpy as np
        import torch
        from einops import repeat

        from maetoolkit.tokens import Field

        num = np.array([0 if value is None else value.shape[2] for value in values], np.int64)
        whole = np.zeros((len(values), *self.shape), np.float32)
        for entry, value, length in zip(whole, values, num, strict=True):
            if value is not None:
                entry[..., :length] = value
        if all(length in (0, self.num_frames) for length in num):
            return Field(torch.from_numpy(whole), torch.from_numpy(num > 0))
        rows, columns = self.grid
        present = np.arange(columns) * self.patch[-1] < num[:, None]
        valid = np.arange(self.num_frames) < num[:, None]
        return Field(
            torch.from_numpy(whole),
            torch.from_numpy(repeat(present, "b columns -> b (rows columns)", rows=rows)),
            torch.from_numpy(repeat(valid, "b t -> b 1 m t", m=self.num_mels)),
        )

    def prepare(self, field: Field) -> Field:
        """Standardise; what no recording reaches becomes 0 and counts nowhere."""
        import torch

        from maetoolkit.tokens import Field

        values, valid = field.values.float(), field.valid
        if field.present.ndim == 2:
            there = self.elements(field.present, self.layout(field)[0])
            valid = there if valid is None else valid & there
        known = torch.ones_like(values[:, :1], dtype=torch.bool) if valid is None else valid
        known = known.expand_as(values)
        if self.standardize == "clip":
            count = known.flatten(1).sum(1).clamp(min=1).view(-1, 1, 1, 1)
            mean = values.where(known, 0.0).sum((1, 2, 3), keepdim=True) / count
            variance = (values - mean).where(known, 0.0).square().sum((1, 2, 3), keepdim=True) / count
            values = (values - mean) / (variance + 1e-6).sqrt()
        elif self.mean is not None and self.std is not None:
            values = (values - self.mean) / self.std
        return Field(values.where(known, 0.0), field.present, valid)

    def picture(self, values: Tensor, grid: tuple[int, ...] | None, truth: Tensor | None = None) -> np.ndarray:
        """The spectrogram, low frequencies at the bottom, time to the right; the mean of its channels."""
        from maetoolkit.modalities.palette import colour_map

        image = self.unpatchify(values[None], grid)[0].mean(0).cpu().float()
        range_of = (values if truth is None else truth).cpu().float()
        low, high = range_of.min(), range_of.max()
        return colour_map(((image - low) / (high - low).clamp(min=1e-6)).numpy(), COLOURS)

    def legend(self) -> Sequence[tuple[str, tuple[int, int, int]]]:
        """From quiet to loud."""
        from maetoolkit.modalities.palette import scale

        return scale("quiet", "loud", name=COLOURS)
