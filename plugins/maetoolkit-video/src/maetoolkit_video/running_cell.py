"""RunningCell: decode only some of what is hidden, evenly over the clip (VideoMAE V2, Wang et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field as Setting
from pydantic import PositiveInt, model_validator

from maetoolkit.masking.compose import Composition, Inner
from maetoolkit.masking.sampler import Masking
from maetoolkit.masking.tube import Tube

if TYPE_CHECKING:
    from maetoolkit.masking.composed import ComposedSampler
    from maetoolkit.masking.sampler import MaskSampler
    from maetoolkit.modality import ModalitySet


class RunningCell(Composition):
    """Hide what `sampler` hides, and decode of every output on a grid of three axes (time first) only a share `decode`.

    The plane is divided into cells of `cell` (rows, columns) tokens. In every frame that share of the places of each
    cell is decoded, and the choice runs through the cell from frame to frame, so that what is decoded covers the clip
    evenly; where it starts is the sample's. Tokens that are not decoded cost the decoder nothing, and are not scored.
    VideoMAE V2 hides tubes with ratio 0.9 and decodes half.
    """

    type: Literal["running_cell"] = "running_cell"
    sampler: Inner = Tube(ratio=0.9, axis=0)
    decode: Annotated[float, Setting(gt=0, le=1)] = 0.5
    cell: tuple[PositiveInt, PositiveInt] = (2, 2)

    @model_validator(mode="after")
    def _whole_places(self) -> RunningCell:
        num = math.prod(self.cell)
        if abs(self.decode * num - round(self.decode * num)) > 1e-6:
            rows, columns = self.cell
            raise ValueError(
                f"decode: {self.decode} of a cell of {rows} x {columns} places is not a whole number of them; "
                f"use a multiple of 1/{num}, or another cell"
            )
        return self

    def parts(self) -> Iterator[tuple[str, Masking, Collection[str] | None]]:  # noqa: D102
        yield "sampler", self.sampler, None

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        grids = {name: modalities[name].layout(None)[0] for name in modalities.fields}
        if not any(grid is not None and len(grid) == 3 for grid in grids.values()):
            listed = ", ".join(f"{name} {'has none' if grid is None else list(grid)}" for name, grid in grids.items())
            raise ValueError(f"type: running_cell needs an entry with a token grid of three axes; found {listed}")
        super().check(modalities)

    def composed(  # noqa: D102
        self, parts: list[MaskSampler], modalities: ModalitySet | None = None
    ) -> ComposedSampler:
        from maetoolkit_video.cells import RunningCellSampler

        return RunningCellSampler(self, parts)
