"""Images: colour (any number of bands), per-patch standardised colour, and depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field as Setting
from pydantic import PositiveFloat, model_validator

from maetoolkit.modalities.derived import Derived
from maetoolkit.modalities.grid import GridModality

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from maetoolkit.tokens import Field

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class RGB(GridModality):
    """Colour images, or any stack of bands: mean squared error on values normalised by `mean` and `std`.

    Values are (B, C, H, W); integers are first divided by the largest number of their type (or `scale`).
    MAE, section 3; MultiMAE, section 3.4.
    """

    type: Literal["rgb"] = "rgb"
    channels: Annotated[int, Setting(gt=0)] = 3
    mean: tuple[float, ...] | None = None
    std: tuple[PositiveFloat, ...] | None = None
    scale: PositiveFloat | None = None
    bands_shown: tuple[int, int, int] | None = None

    suffixes: ClassVar[tuple[str, ...]] = (".jpg", ".jpeg", ".png", ".webp", ".npy")

    @model_validator(mode="after")
    def _one_per_channel(self) -> RGB:
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if numbers is not None and len(numbers) not in (1, self.channels):
                raise ValueError(f"{name}: expected {self.channels} numbers, one per channel, found {len(numbers)}")
        return self

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and std per channel: as given, else ImageNet's for three channels and 1/2, 1/4 for another number."""
        three = self.channels == 3
        mean = self.mean or (IMAGENET_MEAN if three else (0.5,))
        std = self.std or (IMAGENET_STD if three else (0.25,))
        repeat = self.channels
        return (mean * repeat)[:repeat], (std * repeat)[:repeat]

    def read(self, data: bytes) -> np.ndarray:  # noqa: D102
        import numpy as np

        from maetoolkit.modalities.decode import decode

        value = decode(data, colour=self.channels == 3)
        if value.ndim == 3 and value.shape[2] != self.channels and value.shape[0] == self.channels:
            value = np.moveaxis(value, 0, -1)  # arrays are often stored bands first
        found = 1 if value.ndim == 2 else value.shape[-1]
        if value.ndim not in (2, 3) or found != self.channels:
            raise ValueError(
                f"expected {self.channels} channels, found an array of shape {value.shape}; set `channels`"
            )
        if self.scale is None and value.dtype.kind in "iu" and value.dtype.itemsize > 2:
            raise ValueError(f"expected 8 or 16 bits per value, found {value.dtype}; set `scale` to the largest value")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError("expected finite values, found NaN or infinity; repair or remove the file")
        return value

    def prepare(self, field: Field) -> Field:  # noqa: D102
        import torch

        from maetoolkit.tokens import Field

        values = field.values
        scale = self.scale or (1.0 if values.is_floating_point() else float(torch.iinfo(values.dtype).max))
        mean, std = (torch.tensor(s, device=values.device).view(-1, 1, 1) for s in self.statistics())
        return Field((values.float() / scale - mean) / std, field.present, field.valid)

    def check(self, field: Field) -> None:  # noqa: D102
        super().check(field)
        if self.scale is None and str(field.values.dtype) in ("torch.int32", "torch.int64", "torch.bool"):
            raise ValueError(f"expected uint8, uint16 or floats, found {field.values.dtype}; convert, or set `scale`")

    def collate(self, values: Sequence[np.ndarray | None]) -> Field:  # noqa: D102
        mixed = len({value.dtype for value in values if value is not None}) > 1
        if mixed and self.scale is None:  # stacking alone would give all of them the scale of the widest type
            values = [None if value is None else _in_unit_range(value) for value in values]
        return super().collate(values)

    @property
    def resampling(self) -> Literal["nearest", "bilinear", "bicubic"]:  # noqa: D102
        return "bicubic"

    def picture(self, values: Tensor, grid: tuple[int, ...] | None, truth: Tensor | None = None) -> np.ndarray:  # noqa: D102
        import torch

        mean, std = (torch.tensor(s).view(-1, 1, 1) for s in self.statistics())
        image = self.unpatchify(values[None], grid)[0].cpu().float() * std + mean
        bands = self.bands_shown or ((0, 1, 2) if self.channels > 2 else (0, 0, 0))
        return (image[list(bands)].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def _in_unit_range(value: np.ndarray) -> np.ndarray:
    import numpy as np

    largest = 1.0 if value.dtype.kind == "f" else np.iinfo(value.dtype).max
    return value.astype(np.float32) / np.float32(largest)


class StandardizedRGB(Derived):
    """Predicts another entry's patches, each standardised by its own mean and variance; an output only.

    All values of a patch together, unbiased variance, eps inside the root. MAE, section 4.1; MultiMAE, section 3.4.
    """

    type: Literal["standardized_rgb"] = "standardized_rgb"
    of: str | None = "rgb"
    eps: PositiveFloat = 1e-6

    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:  # noqa: D102
        from maetoolkit.layers.projection import PatchHead

        return PatchHead(dim, content)

    def target(self, values: Tensor) -> Tensor:  # noqa: D102
        mean, scale = self._statistics(values)
        return (values - mean) / scale

    def _statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        axes = tuple(range(1, values.ndim))
        mean = values.mean(axes, keepdim=True)
        num = math.prod(values.shape[1:])
        variance = (values - mean).square().sum(axes, keepdim=True) / max(num - 1, 1)
        return mean, (variance + self.eps).sqrt()

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:  # noqa: D102
        error = (prediction.float() - target.float()).square()
        if valid is not None:
            error = error.where(valid, 0.0)
        return error.flatten(1).sum(1), self.token_count(target, valid)

    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:  # noqa: D102
        mean, scale = self._statistics(values)
        return prediction * scale + mean


class Depth(GridModality):
    """Depth maps: absolute error on values standardised per image by the mean and variance of the middle ones.

    Values are (B, 1, H, W) in any unit. The lowest and highest `trim` of the valid values are left out of the
    statistics (MultiMAE, section 3.4). Pixels that equal `invalid`, and NaN, are missing measurements: excluded
    from statistics and loss, and 0 after. `bits` is the depth of the image files that `read` accepts.
    """

    type: Literal["depth"] = "depth"
    loss: Literal["mse", "l1"] = "l1"
    standardize: Literal["robust"] | None = "robust"
    trim: Annotated[float, Setting(ge=0, lt=0.5)] = 0.1
    invalid: float | Literal["nan"] | None = 0.0
    bits: Literal[8, 16] | None = 16

    suffixes: ClassVar[tuple[str, ...]] = (".png", ".npy", ".webp")

    def read(self, data: bytes) -> np.ndarray:  # noqa: D102
        import numpy as np

        from maetoolkit.modalities.decode import decode

        value = decode(data, colour=False)
        if value.ndim == 3 and self.channels in (value.shape[0], value.shape[2]):
            value = value if value.shape[2] == self.channels else np.moveaxis(value, 0, -1)
        elif value.ndim != 2 or self.channels != 1:
            raise ValueError(f"expected one depth per pixel, found an array of shape {value.shape}")
        if value.dtype.kind == "f":
            if self.invalid != "nan" and not np.isfinite(value).all():
                raise ValueError(
                    "expected finite depth, found NaN or infinity; set `invalid: nan` if they mark missing values"
                )
        elif self.bits is not None and value.dtype.itemsize * 8 != self.bits:
            raise ValueError(
                f"expected {self.bits}-bit depth, found {value.dtype.itemsize * 8}-bit; set `bits` to what is stored"
            )
        return value.astype(np.float32)

    def prepare(self, field: Field) -> Field:  # noqa: D102
        from maetoolkit.modalities.standardize import robust_standardize
        from maetoolkit.tokens import Field

        values = field.values.float()
        valid = values.isfinite()
        if isinstance(self.invalid, float):
            valid = valid & (values != self.invalid)
        if field.valid is not None:
            valid = valid & field.valid
        if field.present.ndim == 2:  # tokens that are absent must not move the statistics of those that are present
            valid = valid & self.elements(field.present, self.layout(field)[0])
        if self.standardize == "robust":
            return Field(robust_standardize(values, valid, self.trim), field.present, valid)
        return Field(values.where(valid, 0.0), field.present, valid)

    def picture(self, values: Tensor, grid: tuple[int, ...] | None, truth: Tensor | None = None) -> np.ndarray:  # noqa: D102
        from maetoolkit.modalities.palette import colour_map

        image = self.unpatchify(values[None], grid)[0, 0].cpu().float()
        range_of = (values if truth is None else truth).cpu().float().flatten()
        low, high = range_of.quantile(0.02), range_of.quantile(0.98)
        return colour_map(((image - low) / (high - low).clamp(min=1e-6)).clamp(0, 1).numpy())

    def legend(self) -> Sequence[tuple[str, tuple[int, int, int]]]:  # noqa: D102
        from maetoolkit.modalities.palette import scale

        return scale("near", "far")
