"""GridModality: defaults for any regular array, on any number of axes."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, PositiveInt, model_validator

from maetoolkit.modality import Geometry, Modality, Side

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from maetoolkit.tokens import Field, Patches


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, int | float) and not isinstance(value, bool) else value


Extent = Annotated[tuple[PositiveInt, ...], BeforeValidator(_as_tuple)]
"""A size per axis; one number stands for all axes."""


class GridModality(Modality, ABC):
    """A regular array cut into equal patches: (B, C, *size / stride) values, tokens in raster order.

    `size` and `patch` are in units of the shared crop; `stride` is how many of those one value covers,
    so a map kept at a quarter of the resolution has stride 4. One number stands for all axes.
    """

    num_axes: ClassVar[int] = 2
    has_channels: ClassVar[bool] = True

    size: Extent = (224,)
    patch: Extent = (16,)
    stride: PositiveInt = 1
    channels: PositiveInt = 1
    position: Literal["sincos", "learned"] = "sincos"
    position_order: Literal["row_first", "column_first"] = "row_first"
    position_resize: Literal["bicubic", "linear"] = "bicubic"
    loss: Literal["mse", "l1"] = "mse"

    @model_validator(mode="after")
    def _divides(self) -> GridModality:
        for name, extent in (("size", self.size), ("patch", self.patch)):
            if len(extent) not in (1, self.num_axes):
                raise ValueError(f"{name}: expected 1 or {self.num_axes} numbers, found {list(extent)}")
        for size, patch in zip(self.extent(self.size), self.extent(self.patch), strict=True):
            if size % patch:
                lower, upper = size // patch * patch, (size // patch + 1) * patch
                near = f"{lower} or {upper}" if lower else f"{upper}"
                raise ValueError(f"patch {patch} does not divide size {size}; use a size of {near}, or another patch")
            if patch % self.stride:
                raise ValueError(f"stride {self.stride} does not divide patch {patch}; use a divisor of {patch}")
        return self

    def extent(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        """`numbers` with one entry per axis."""
        return numbers * self.num_axes if len(numbers) == 1 else numbers

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one entry's values: (C, *size / stride), without C where there are no channels."""
        spatial = tuple(n // self.stride for n in self.extent(self.size))
        return (self.channels, *spatial) if self.has_channels else spatial

    @property
    def cell(self) -> tuple[int, ...]:
        """Size of a patch in values."""
        return tuple(n // self.stride for n in self.extent(self.patch))

    @property
    def content(self) -> tuple[int, ...]:  # noqa: D102
        return (self.channels, *self.cell) if self.has_channels else self.cell

    @property
    def grid(self) -> tuple[int, ...]:
        """Token grid of the declared size."""
        return tuple(n // p for n, p in zip(self.extent(self.size), self.extent(self.patch), strict=True))

    @property
    def num_tokens(self) -> int:  # noqa: D102
        return math.prod(self.grid)

    def frame(self, value: np.ndarray) -> tuple[int, int] | None:  # noqa: D102
        return (value.shape[0], value.shape[1]) if self.num_axes == 2 else None

    @property
    def aspect(self) -> float | None:  # noqa: D102
        height, width = self.extent(self.size) if self.num_axes == 2 else (0, 0)
        return width / height if height else None

    def collate(self, values: Sequence[np.ndarray | None]) -> Field:  # noqa: D102
        import numpy as np
        import torch

        from maetoolkit.tokens import Field

        first = next((v for v in values if v is not None), None)
        blank = (
            np.zeros(self.shape, np.float32 if self.has_channels else np.int64)
            if first is None
            else np.zeros_like(first)
        )
        stacked = np.stack([blank if v is None else v for v in values])
        return Field(torch.from_numpy(stacked), torch.tensor([v is not None for v in values]))

    def layout(self, field: Field | None) -> tuple[tuple[int, ...] | None, int]:  # noqa: D102
        if field is None:
            return self.grid, self.num_tokens
        found = tuple(field.values.shape)
        if len(found) != 1 + self.has_channels + self.num_axes or (self.has_channels and found[1] != self.channels):
            expected = ("batch", *self.shape)
            raise ValueError(f"expected values with axes {expected}, found {found}; move axes, or set `channels`")
        spatial = found[-self.num_axes :]
        if any(n % p for n, p in zip(spatial, self.cell, strict=True)):
            raise ValueError(f"values of size {spatial} cannot be cut into patches of {self.cell}; crop or resize them")
        grid = tuple(n // p for n, p in zip(spatial, self.cell, strict=True))
        return grid, math.prod(grid)

    def patchify(self, field: Field) -> Patches:  # noqa: D102
        from einops import repeat

        from maetoolkit.layers.position import grid_coordinates
        from maetoolkit.tokens import Patches

        grid, num_tokens = self.layout(field)
        assert grid is not None
        positions = grid_coordinates(grid).to(field.values.device)
        present = field.present if field.present.ndim == 2 else repeat(field.present, "b -> b n", n=num_tokens)
        valid = None if field.valid is None else self.cut(field.valid)
        return Patches(self.cut(field.values), positions.expand(len(field), -1, -1), present, grid=grid, valid=valid)

    def cut(self, values: Tensor) -> Tensor:
        """(B, [C,] *size) -> (B, N, [C,] *cell), raster order."""
        from einops import rearrange

        outer, inner, together, sizes = self._pattern()
        return rearrange(values, f"b {'c ' if self.has_channels else ''}{together} -> b ({outer}) {inner}", **sizes)

    def unpatchify(self, values: Tensor, grid: tuple[int, ...] | None) -> Tensor:  # noqa: D102
        from einops import rearrange

        outer, inner, together, sizes = self._pattern()
        counts = {f"g{axis}": n for axis, n in enumerate(grid or self.grid)}
        pattern = f"b ({outer}) {inner} -> b {'c ' if self.has_channels else ''}{together}"
        return rearrange(values, pattern, **sizes, **counts)

    def elements(self, present: Tensor, grid: tuple[int, ...] | None) -> Tensor:
        """Flags of tokens (B, N) -> flags of the elements they are made of, (B, [1,] *size)."""
        shaped = present.view(*present.shape, *[1] * len(self.content))
        one = (1, *self.cell) if self.has_channels else self.cell
        return self.unpatchify(shaped.expand(*present.shape, *one), grid)

    def _pattern(self) -> tuple[str, str, str, dict[str, int]]:
        axes = range(self.num_axes)
        outer, inner = " ".join(f"g{a}" for a in axes), " ".join(f"p{a}" for a in axes)
        together = " ".join(f"(g{a} p{a})" for a in axes)
        return outer, f"c {inner}" if self.has_channels else inner, together, {f"p{a}": self.cell[a] for a in axes}

    def build_tokenizer(self, dim: int) -> nn.Module:  # noqa: D102
        from maetoolkit.layers.projection import PatchProjection

        return PatchProjection(self.content, dim)

    def build_position(self, dim: int, side: Side) -> nn.Module:  # noqa: D102
        from maetoolkit.layers.position import GridPosition

        resize = self.position_resize if side == "encoder" else "linear"
        learned = self.position == "learned"
        return GridPosition(dim, self.grid, learned=learned, order=self.position_order, interpolation=resize)

    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:  # noqa: D102
        from maetoolkit.layers.projection import PatchHead

        return PatchHead(dim, content)

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:  # noqa: D102
        error = prediction.float() - target.float()
        error = error.square() if self.loss == "mse" else error.abs()
        if valid is not None:
            error = error.where(valid, 0.0)
        return error.flatten(1).sum(1), self.token_count(target, valid)

    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:  # noqa: D102
        if self.num_axes != 2:
            return value
        from maetoolkit.modalities.resample import crop_resize

        height, width = (n // self.stride for n in self.extent(self.size))
        resized = crop_resize(value, geometry, (height, width), self.resampling)
        if not self.has_channels:
            return resized
        import numpy as np

        return np.ascontiguousarray(np.moveaxis(resized.reshape(*resized.shape[:2], -1), -1, 0))

    @property
    def resampling(self) -> Literal["nearest", "bilinear", "bicubic"]:
        """How `transform` resizes this kind of data."""
        return "nearest"
