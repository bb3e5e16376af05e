"""Points: a cloud as groups of neighbours around centres. Axes: B samples, P points, N groups, K points of a group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from maetoolkit.modality import Modality, Side

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from maetoolkit.modality import Geometry, Marks
    from maetoolkit.tokens import Field, Patches

SHAPE_AXES = 4


class Points(Modality):
    """Point clouds (P, 3), cut into groups around centres and scored by the Chamfer distance (Point-MAE, section 3).

    `num_points` of a cloud are used; it must have as many. Centres are chosen by farthest point sampling, and each
    has its `group_size` nearest points, of which others may have some too (`overlap`, as published); without `overlap`
    every point belongs to the nearest centre alone, and `group_size` is the most a group keeps. Nothing depends on the
    order of points. Groups are made in `transform`: in the loader's workers, once for each sample and step.

    normalize: about the mean, the farthest point at distance 1. rotate: in training, about the `up` axis or any.
    scale: in training, by a factor in this range. width: of the network that makes tokens of groups.
    Fields are (B, N, 1 + K, 3): a group's centre, then its points relative to it, NaN where it has fewer.
    """

    type: Literal["points"] = "points"
    num_points: PositiveInt = 1024
    num_groups: PositiveInt = 64
    group_size: PositiveInt = 32
    overlap: bool = True
    normalize: Literal["sphere"] | None = "sphere"
    up: Literal["x", "y", "z"] = "z"
    rotate: Literal["up", "any"] | None = None
    scale: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.0)
    width: PositiveInt = 128

    suffixes: ClassVar[tuple[str, ...]] = (".npy",)

    @model_validator(mode="after")
    def _enough(self) -> Points:
        for name, num in (("num_groups", self.num_groups), ("group_size", self.group_size)):
            if num > self.num_points:
                raise ValueError(f"{name}: expected at most the {self.num_points} of num_points, found {num}")
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale: expected low <= high, found {list(self.scale)}")
        return self

    @property
    def num_tokens(self) -> int:  # noqa: D102
        return self.num_groups

    @property
    def content(self) -> tuple[int, ...]:  # noqa: D102
        return (self.group_size, 3)

    def read(self, data: bytes) -> np.ndarray:
        """The cloud (P, 3) as stored. Raises ValueError for another width, too few points, NaN, or another format."""
        from maetoolkit.modalities.decode import decode

        if data and not data.startswith(b"\x93NUMPY"):
            raise ValueError(f"expected an npy array of points (P, 3), found bytes that begin with {data[:8].hex(' ')}")
        return self._checked(decode(data, colour=False))

    def _checked(self, cloud: np.ndarray) -> np.ndarray:
        import numpy as np

        found = f"{cloud.dtype} of shape {cloud.shape}"
        if cloud.ndim != 2 or cloud.shape[1] != 3 or cloud.dtype.kind not in "iuf":
            raise ValueError(f"expected points (P, 3) of x, y, z, found {found}; leave colours and normals out")
        if len(cloud) < self.num_points:
            raise ValueError(f"expected at least {self.num_points} points, found {len(cloud)}; lower `num_points`")
        if not np.isfinite(cloud).all():
            raise ValueError("expected finite coordinates, found NaN or infinity; repair or remove the file")
        return cloud

    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        """Cloud (P, 3) -> groups (N, 1 + K, 3); in training, turned and scaled at random."""
        import numpy as np

        from maetoolkit_points import grouping

        points = grouping.ordered(self._checked(value).astype(np.float64))
        random = geometry.random("points")
        if len(points) > self.num_points:
            spread = np.linspace(0, len(points) - 1, self.num_points).round().astype(int)
            some = spread if random is None else np.sort(random.permutation(len(points))[: self.num_points])
            points = points[some]
        if self.normalize == "sphere":
            points = grouping.in_unit_sphere(points)
        if random is not None:
            if self.rotate is not None:
                points = points @ grouping.rotation(random, self.up if self.rotate == "up" else None).T
            points = points * random.uniform(*self.scale)
        centres = grouping.farthest_points(points, self.num_groups)
        divide = grouping.nearest_groups if self.overlap else grouping.disjoint_groups
        members = divide(points, centres, self.group_size)
        middle = points[centres][:, None]
        around = np.where(members[..., None] >= 0, points[members] - middle, np.nan)
        return np.concatenate([middle, around], axis=1, dtype=np.float32)

    def collate(self, values: Sequence[np.ndarray | None]) -> Field:
        """Groups of clouds; slots that a group does not fill are not `valid`."""
        import numpy as np
        import torch

        from maetoolkit.tokens import Field

        blank = np.zeros((self.num_groups, 1 + self.group_size, 3), np.float32)
        groups = torch.from_numpy(np.stack([blank if value is None else value for value in values]))
        present = torch.tensor([value is not None for value in values])
        return Field(groups, present, None if self.overlap else groups.isfinite().all(-1, keepdim=True))

    def layout(self, field: Field | None) -> tuple[None, int]:
        """No grid, `num_groups` tokens."""
        expected = ("batch", self.num_groups, 1 + self.group_size, 3)
        if field is not None and tuple(field.values.shape[1:]) != expected[1:]:
            raise ValueError(
                f"expected groups of points {expected} as `collate` makes them of what `transform` returns, "
                f"found {tuple(field.values.shape)}"
            )
        return None, self.num_groups

    def prepare(self, field: Field) -> Field:
        """Slots that a group does not fill repeat its points in turn, which changes no maximum over them."""
        import torch

        from maetoolkit.tokens import Field

        there = field.present.view(*field.present.shape, *[1] * (SHAPE_AXES - field.present.ndim))
        values = field.values.float().where(there, 0.0)
        if field.valid is None or self.overlap:
            return Field(values, field.present, field.valid)
        num = values.isfinite().all(-1)[..., 1:].sum(-1, keepdim=True).clamp(min=1)
        slot = 1 + torch.arange(self.group_size, device=values.device) % num
        filled = values.gather(2, slot[..., None].expand(-1, -1, -1, 3))
        return Field(torch.cat([values[:, :, :1], filled], dim=2), field.present, field.valid)

    def patchify(self, field: Field) -> Patches:
        """Values (B, N, K, 3) relative to the centres, which are the positions (B, N, 3)."""
        from maetoolkit.tokens import Patches

        self.layout(field)
        present = field.present if field.present.ndim == 2 else field.present[:, None].expand(-1, self.num_groups)
        valid = None if field.valid is None else field.valid[:, :, 1:]
        return Patches(field.values[:, :, 1:], field.values[:, :, 0], present, None, valid)

    def build_tokenizer(self, dim: int) -> nn.Module:
        """A small PointNet."""
        from maetoolkit_points.network import GroupNet

        return GroupNet(self.width, dim)

    def build_position(self, dim: int, side: Side) -> nn.Module:
        """Learned, from the centre's coordinates."""
        from maetoolkit_points.network import CentrePosition

        return CentrePosition(self.width, dim)

    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:
        """One linear map to K points, at first all near the centre: the guess of a model that knows nothing."""
        from maetoolkit_points.network import point_head

        return point_head(dim, self.group_size, math.sqrt(self.group_size / self.num_points) / 100)

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Squared Chamfer distance of each group, times its points; and their number."""
        from maetoolkit_points.network import chamfer

        count = self.token_count(target, valid)
        return chamfer(prediction, target, None if valid is None else _points(valid, target)) * count, count

    def token_count(self, target: Tensor, valid: Tensor | None) -> Tensor:
        """Points, not coordinates."""
        return super().token_count(target[..., 0], None if valid is None else _points(valid, target))

    def draw(
        self, values: Tensor, grid: tuple[int, ...] | None, marks: Marks, truth: Tensor | None = None
    ) -> np.ndarray | None:
        """Four views of the cloud: given groups blue, predicted ones orange, a pale dot where one is hidden."""
        from maetoolkit_points.picture import views

        if marks.positions is None:
            return None  # nobody knows where the groups are
        centres = marks.positions.float()[:, None]
        whole = (centres + (values if truth is None else truth).cpu().float())[marks.present].flatten(0, 1)
        middle = (whole.amin(0) + whole.amax(0)) / 2
        extent = float((whole - middle).norm(dim=1).max())
        points = centres + values.cpu().float()
        seen = marks.present & ~marks.hidden
        given, made = (points[seen & flags].flatten(0, 1).numpy() for flags in (~marks.predicted, marks.predicted))
        hidden = centres[marks.present & marks.hidden, 0].numpy()
        return views(given, made, hidden, middle.numpy(), extent, self.up)

    def legend(self) -> Sequence[tuple[str, tuple[int, int, int]]]:
        """Colours at middle depth."""
        from maetoolkit_points.picture import HIDDEN, middle

        return (("given", middle("given")), ("predicted", middle("made")), ("centre of a hidden group", HIDDEN))


def _points(valid: Tensor, target: Tensor) -> Tensor:
    """Which points (T, K) are valid."""
    return valid.expand_as(target).all(-1)
