"""Video: clips of frames cut into tubelets, scored by the squared error of their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from maetoolkit.modalities.grid import Extent
from maetoolkit.modalities.image import RGB

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.modality import Geometry, Marks
    from maetoolkit.tokens import Field


class Video(RGB):
    """Clips (B, C, T, H, W) cut into tubelets: `size` and `patch` are (frames, height, width).

    A training clip of T frames, every `frame_stride`-th, starts where the sample's key says; in evaluation it is the
    middle one. Files too `short` for that are refused, or their last frame is held. Colours as those of `RGB`: `mean`,
    `std`, `scale`. Pixels that equal `invalid` are missing measurements: 0 in the input, not scored. `standardize`
    predicts pixels standardised per tubelet, over all channels ("patch") or each by itself ("channel").
    `key` names the array of an .npz file. VideoMAE, section 3 (Tong et al. 2022): standardised pixels, frames 2 or 4
    apart.
    """

    type: Literal["video"] = "video"  # type: ignore[assignment]
    size: Extent = (16, 224, 224)
    patch: Extent = (2, 16, 16)
    stride: Literal[1] = 1
    position_resize: Literal["linear"] = "linear"
    frame_stride: PositiveInt = 4
    short: Literal["error", "hold"] = "error"
    standardize: Literal["patch", "channel"] | None = None
    eps: PositiveFloat = 1e-6
    invalid: float | None = None
    key: str | None = None

    num_axes: ClassVar[int] = 3
    suffixes: ClassVar[tuple[str, ...]] = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".npz", ".npy")

    @model_validator(mode="after")
    def _three_extents(self) -> Video:
        for name, extent in (("size", self.size), ("patch", self.patch)):
            if len(extent) != 3:
                raise ValueError(f"{name}: expected [frames, height, width], found {list(extent)}")
        return self

    def read(self, data: bytes) -> np.ndarray:
        """An array (T, H, W[, C]) as stored, or a video file still encoded (see `codec`)."""
        from maetoolkit_video import arrays, clips, codec, containers

        if containers.format_of(data) is not None:
            if self.channels not in (1, 3):
                raise ValueError(f"a video file has 1 or 3 channels, expected {self.channels}; store it as npz or npy")
            value, num_frames = codec.probe(data)
        else:
            value = arrays.frames(data, self.key, self.channels, self.scale, self.invalid)
            num_frames = len(value)
        clips.indices(num_frames, self.size[0], self.frame_stride, self.short, None)
        return value

    def frame(self, value: np.ndarray) -> tuple[int, int] | None:
        """Height and width of a frame, which follow the sample's crop and flip."""
        from maetoolkit_video import codec

        return codec.frame_size(value) if codec.is_encoded(value) else (value.shape[1], value.shape[2])

    @property
    def aspect(self) -> float:
        """Width over height of a frame."""
        _, height, width = self.extent(self.size)
        return width / height

    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        """Choose the clip, decode it, and crop, resize and flip all its frames alike: (C, T, H, W)."""
        import numpy as np

        from maetoolkit.modalities.resample import crop_resize
        from maetoolkit_video import clips, codec

        num, height, width = self.size
        stream = geometry.random("clip")
        encoded = codec.is_encoded(value)
        times = codec.times(value) if encoded else list(range(len(value)))
        chosen = [times[i] for i in clips.indices(len(times), num, self.frame_stride, self.short, stream)]
        frames = codec.decode(value, chosen, self.channels) if encoded else value[chosen]
        resized = [crop_resize(frame, geometry, (height, width), self.resampling) for frame in frames]
        return np.ascontiguousarray(np.moveaxis(np.stack(resized).reshape(num, height, width, -1), -1, 0))

    @property
    def resampling(self) -> Literal["nearest", "bilinear", "bicubic"]:
        """Missing measurements are not blended with others."""
        return "bicubic" if self.invalid is None else "nearest"

    def prepare(self, field: Field) -> Field:
        """Normalise by `mean` and `std`, as for an image whose rows are those of all frames."""
        from maetoolkit.tokens import Field

        values, valid = field.values, field.valid
        if self.invalid is not None:
            numbers = values.float()
            known = numbers.isfinite() & (numbers != self.invalid)
            valid = known if valid is None else known & valid
        flat = super().prepare(Field(values.flatten(2, 3), field.present))
        whole = flat.values.view_as(values)
        return Field(whole if valid is None else whole.where(valid, 0.0), field.present, valid)

    def target(self, values: Tensor) -> Tensor:
        """Pixels, or standardised ones."""
        if self.standardize is None:
            return values
        mean, scale = self._moments(values)
        return (values - mean) / scale

    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:
        """Pixels that a prediction stands for, with the true tubelet's mean and spread where those were taken out."""
        if self.standardize is None:
            return prediction
        mean, scale = self._moments(values)
        return prediction * scale + mean

    def _moments(self, values: Tensor) -> tuple[Tensor, Tensor]:
        axes = tuple(range(1 if self.standardize == "patch" else 2, values.ndim))
        mean = values.mean(axes, keepdim=True)
        freedom = max(1, values.shape[axes[0] :].numel() - 1)
        return mean, ((values - mean).square().sum(axes, keepdim=True) / freedom + self.eps).sqrt()

    def picture(self, values: Tensor, grid: tuple[int, ...] | None, truth: Tensor | None = None) -> np.ndarray:
        """A contact sheet: the first frame of every tubelet, in reading order."""
        from maetoolkit_video.sheet import colours, contact_sheet

        return contact_sheet(colours(self, values, grid, truth)[:: self.patch[0]])

    def draw(
        self, values: Tensor, grid: tuple[int, ...] | None, marks: Marks, truth: Tensor | None = None
    ) -> np.ndarray | None:
        """The contact sheet with hidden tubelets covered."""
        from maetoolkit.evaluate.pictures import cover
        from maetoolkit_video.sheet import contact_sheet

        hidden = self.elements(marks.hidden[None], grid)[0, 0].cpu().numpy()
        sheet = self.picture(values.masked_fill(marks.hidden.view(-1, 1, 1, 1, 1), 0), grid, truth)
        return cover(sheet, contact_sheet(hidden[:: self.patch[0], ..., None])[..., 0])
