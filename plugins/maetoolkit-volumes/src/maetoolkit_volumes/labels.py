"""VolumeLabels: one class per voxel, embedded on the way in and predicted by cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from maetoolkit.modalities.grid import Extent
from maetoolkit.modalities.semantic import Semantic

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.modality import Geometry, Marks
    from maetoolkit.tokens import Field

PADDING = -1


class VolumeLabels(Semantic):
    """Classes (B, X, Y, Z), cropped, padded and mirrored with the scans of their sample, as `Volume` is.

    Voxels equal to `void`, and padding, are not scored; padding enters as `void`, or as class 0 where there is none.
    """

    type: Literal["volume_labels"] = "volume_labels"  # type: ignore[assignment]
    num_classes: PositiveInt = 2
    size: Extent = (96,)
    patch: Extent = (16,)
    stride: Literal[1] = 1
    class_dim: PositiveInt = 16
    position_resize: Literal["linear"] = "linear"
    crop: Literal["random", "centre"] = "random"
    flip: tuple[Literal[0, 1, 2], ...] = ()
    canonical: bool = True

    num_axes: ClassVar[int] = 3
    suffixes: ClassVar[tuple[str, ...]] = (".nii.gz", ".nii", ".npy")

    def read(self, data: bytes) -> np.ndarray:
        """(X, Y, Z) integers; whole numbers stored as floats are read as such."""
        import numpy as np

        from maetoolkit_volumes.reading import channels_of, volume

        value = channels_of(volume(data, self.canonical), 1, None)
        labels = value
        if value.dtype.kind == "f":
            labels = np.rint(np.where(np.isfinite(value), value, PADDING)).astype(np.int64)
        known = (labels >= 0) & (labels < self.num_classes)
        wrong = ~known & (labels != self.void) if self.void is not None else ~known
        wrong |= labels != value
        if wrong.any():
            allowed = f"0 to {self.num_classes - 1}{'' if self.void is None else f' or {self.void} (void)'}"
            raise ValueError(f"expected labels {allowed}, found {value[wrong][0]}; set `num_classes` or `void`")
        return labels

    def space(self, value: np.ndarray) -> tuple[int, ...]:
        """Voxels along the three axes, which all scans and labels of a sample share."""
        return value.shape[:3]

    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        """Crop, pad with -1, and mirror: integers (*size)."""
        import numpy as np

        from maetoolkit_volumes.placement import placed

        signed = value.astype(np.int16 if max(self.num_classes, self.void or 0) < 2**15 else np.int64)
        return placed(signed, self, geometry, PADDING)

    def collate(self, values: Sequence[np.ndarray | None]) -> Field:
        """Stack; tokens of nothing but padding are absent."""
        from maetoolkit_volumes.placement import padded_field

        field = super().collate(values)
        known = field.values != PADDING
        padded = padded_field(self, field, known)
        if padded is field:
            return field
        return replace(padded, values=field.values.where(known, self.void or 0), valid=known)

    def picture(self, values: Tensor, grid: tuple[int, ...] | None, truth: Tensor | None = None) -> np.ndarray:
        """The middle slices across the three axes, a colour for each class."""
        from maetoolkit_volumes.slices import middle_slices

        return middle_slices(super().picture(values, grid, truth))

    def draw(
        self, values: Tensor, grid: tuple[int, ...] | None, marks: Marks, truth: Tensor | None = None
    ) -> np.ndarray | None:
        """The slices with hidden blocks covered, and what is padding blanked."""
        from maetoolkit_volumes.slices import marked

        return marked(self, self.picture(values, grid, truth), grid, marks)
