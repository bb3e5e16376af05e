"""Volume: one channel (or several) of a scan on three axes, cut into blocks, scored by its voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field as Setting
from pydantic import NonNegativeInt, PositiveFloat, model_validator

from maetoolkit.modalities.grid import Extent, GridModality

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.modality import Geometry, Marks
    from maetoolkit.tokens import Field

Share = Annotated[float, Setting(ge=0, le=1)]
Axis = Literal[0, 1, 2]


class Volume(GridModality):
    """Scans (B, C, X, Y, Z); one entry for each MRI channel, so that any of them may be missing.

    A scan is cropped or padded to `size` at a place drawn by the sample's key, with `crop` "centre" and in evaluation
    in the middle, and mirrored along each of the axes `flip` with probability 1/2; entries of one sample with equal
    settings agree in both.
    Padding is no data: blocks that hold nothing else are absent tokens, and of others it is not scored.
    `normalize` brings intensities, known only up to a scale in MRI, to one range: "zscore" by mean and deviation,
    "percentile" from -1 to 1 between two `percentiles`; with `nonzero`, as found where the scan is not 0.
    NaN in files is refused, or with `invalid: nan` it marks missing voxels. `channel` picks one of a file's last axis.
    `canonical` turns NIfTI files to the axes right, anterior, superior. `standardize` predicts voxels standardised per
    block, over all channels ("patch") or each by itself ("channel").
    """

    type: Literal["volume"] = "volume"
    size: Extent = (96,)
    patch: Extent = (16,)
    stride: Literal[1] = 1
    position_resize: Literal["linear"] = "linear"
    normalize: Literal["zscore", "percentile"] | None = "zscore"
    nonzero: bool = True
    percentiles: tuple[Share, Share] = (0.01, 0.99)
    crop: Literal["random", "centre"] = "random"
    flip: tuple[Axis, ...] = ()
    invalid: Literal["nan"] | None = None
    channel: NonNegativeInt | None = None
    canonical: bool = True
    standardize: Literal["patch", "channel"] | None = None
    eps: PositiveFloat = 1e-6

    num_axes: ClassVar[int] = 3
    suffixes: ClassVar[tuple[str, ...]] = (".nii.gz", ".nii", ".npy")

    @model_validator(mode="after")
    def _one_range(self) -> Volume:
        if self.percentiles[0] >= self.percentiles[1]:
            raise ValueError(f"percentiles: expected [low, high] with low below high, found {list(self.percentiles)}")
        if self.channel is not None and self.channels != 1:
            raise ValueError(f"channel: picks one channel; expected channels 1 beside it, found {self.channels}")
        return self

    def read(self, data: bytes) -> np.ndarray:
        """(X, Y, Z), or (X, Y, Z, C) for several channels, as stored."""
        import numpy as np

        from maetoolkit_volumes.reading import channels_of, volume

        value = channels_of(volume(data, self.canonical), self.channels, self.channel)
        if self.invalid is None and value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(
                "expected finite voxels, found NaN or infinity; set `invalid: nan` if they are missing ones"
            )
        return value

    def space(self, value: np.ndarray) -> tuple[int, ...]:
        """Voxels along the three axes, which all scans and labels of a sample share."""
        return value.shape[:3]

    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        """Crop, pad with NaN, and mirror: float32 (C, *size)."""
        import numpy as np

        from maetoolkit_volumes.placement import placed

        value = value.reshape(*value.shape[:3], -1).astype(np.float32)
        return placed(np.moveaxis(value, -1, 0), self, geometry, np.nan)

    def collate(self, values: Sequence[np.ndarray | None]) -> Field:
        """Stack; tokens of nothing but padding are absent."""
        from maetoolkit_volumes.placement import padded_field

        field = super().collate(values)
        return padded_field(self, field, field.values.isfinite())

    def prepare(self, field: Field) -> Field:
        """Normalise the intensities of every channel over the voxels that are there; the others become 0."""
        from maetoolkit.tokens import Field
        from maetoolkit_volumes.intensity import rescaled

        values = field.values.float()
        flags = field.present
        there = flags.view(-1, 1, 1, 1, 1) if flags.ndim == 1 else self.elements(flags, self.layout(field)[0])
        valid = values.isfinite() & there
        if field.valid is not None:
            valid = valid & field.valid
        values = values.where(valid, 0.0)
        counted = valid & (values != 0) if self.nonzero else valid
        return Field(rescaled(values, counted, self.normalize, self.percentiles).where(valid, 0.0), flags, valid)

    def target(self, values: Tensor) -> Tensor:
        """Voxels, or standardised ones."""
        if self.standardize is None:
            return values
        mean, scale = self._moments(values)
        return (values - mean) / scale

    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:
        """Voxels that a prediction stands for, with the true block's mean and spread where those were taken out."""
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
        """The middle slices of the first channel across the three axes, grey between the truth's 1st and 99th
        percentile."""
        import numpy as np

        from maetoolkit_volumes.slices import middle_slices

        whole = self.unpatchify(values[None], grid)[0, 0].cpu().float().numpy()
        low, high = np.quantile((values if truth is None else truth).cpu().float().numpy(), [0.01, 0.99])
        grey = np.clip((whole - low) / max(high - low, 1e-6), 0, 1)
        return middle_slices(np.repeat(np.rint(grey * 255).astype(np.uint8)[..., None], 3, -1))

    def draw(
        self, values: Tensor, grid: tuple[int, ...] | None, marks: Marks, truth: Tensor | None = None
    ) -> np.ndarray | None:
        """The slices with hidden blocks covered, and what is padding blanked."""
        from maetoolkit_volumes.slices import marked

        return marked(self, self.picture(values, grid, truth), grid, marks)
