"""Semantic label maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field as Setting
from pydantic import PositiveInt, model_validator

from maetoolkit.modalities.grid import Extent, GridModality

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from maetoolkit.tokens import Field


class Semantic(GridModality):
    """Class labels per pixel: class embeddings in, cross-entropy out (MultiMAE, section 3.1 and appendix A).

    Values are integer labels (B, H / stride, W / stride): with `stride` 4 the map is kept at a quarter of the
    resolution and a patch of 16 covers 4 x 4 labels. Labels equal to `void` are excluded from the loss; as input
    they have an embedding of their own.
    """

    type: Literal["semantic"] = "semantic"
    num_classes: PositiveInt = 133
    void: Annotated[int, Setting(ge=0)] | None = 255
    size: Extent = (224,)
    stride: PositiveInt = 4
    class_dim: PositiveInt = 64
    class_names: tuple[str, ...] = ()
    position_resize: Literal["bicubic", "linear"] = "linear"

    has_channels: ClassVar[bool] = False
    suffixes: ClassVar[tuple[str, ...]] = (".png", ".npy", ".webp")

    @model_validator(mode="after")
    def _labels(self) -> Semantic:
        if self.void is not None and self.void < self.num_classes:
            raise ValueError(f"void {self.void} is one of the {self.num_classes} classes; use a larger number or null")
        if self.class_names and len(self.class_names) != self.num_classes:
            raise ValueError(f"class_names: expected {self.num_classes} names, found {len(self.class_names)}")
        return self

    def read(self, data: bytes) -> np.ndarray:  # noqa: D102
        import numpy as np

        from maetoolkit.modalities.decode import decode

        labels = decode(data, colour=False)
        if labels.ndim != 2 or labels.dtype.kind not in "ui":
            raise ValueError(f"expected one integer label per pixel, found {labels.dtype} of shape {labels.shape}")
        wrong = (labels < 0) | (labels >= self.num_classes)
        if self.void is not None:
            wrong &= labels != self.void
        if wrong.any():
            raise ValueError(
                f"expected labels 0 to {self.num_classes - 1}{'' if self.void is None else f' or {self.void} (void)'}, "
                f"found {int(labels[wrong][0])}; set `num_classes` or `void`"
            )
        return labels if labels.dtype == np.uint8 else labels.astype(np.int64)

    def check(self, field: Field) -> None:  # noqa: D102
        super().check(field)
        values = field.values
        if values.is_floating_point():
            raise ValueError(f"expected integer labels, found {values.dtype}; convert with .long()")
        wrong = (values < 0) | (values >= self.num_classes)
        if self.void is not None:
            wrong &= values != self.void
        if bool(wrong.any()):
            raise ValueError(
                f"expected labels below {self.num_classes}, found {int(values[wrong][0])}; set `num_classes`"
            )

    def prepare(self, field: Field) -> Field:  # noqa: D102
        from maetoolkit.tokens import Field

        labels = field.values.long()
        if self.void is None:
            return Field(labels, field.present, field.valid)
        valid = labels != self.void
        labels = labels.where(valid, self.num_classes)
        return Field(labels, field.present, valid if field.valid is None else valid & field.valid)

    def build_tokenizer(self, dim: int) -> nn.Module:  # noqa: D102
        from maetoolkit.layers.projection import LabelProjection

        return LabelProjection(self.num_classes + (self.void is not None), self.class_dim, self.content, dim)

    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:  # noqa: D102
        from maetoolkit.layers.projection import PatchHead

        return PatchHead(dim, (self.num_classes, *content))

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:  # noqa: D102
        from torch.nn import functional as F

        ignored = -100
        labels = target if valid is None else target.where(valid, ignored)
        entropy = F.cross_entropy(prediction.float(), labels, reduction="none", ignore_index=ignored)
        return entropy.flatten(1).sum(1), self.token_count(target, valid)

    def ideal(self, target: Tensor) -> Tensor:  # noqa: D102
        from torch.nn import functional as F

        one_hot = F.one_hot(target.clamp(max=self.num_classes - 1), self.num_classes)
        return one_hot.movedim(-1, 1).float() * 1e4

    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:  # noqa: D102
        return prediction.argmax(1)

    def picture(self, values: Tensor, grid: tuple[int, ...] | None, truth: Tensor | None = None) -> np.ndarray:  # noqa: D102
        import numpy as np

        from maetoolkit.modalities.palette import VOID, palette

        colours = np.concatenate([palette(self.num_classes), np.array([VOID], np.uint8)])
        return colours[self.unpatchify(values[None], grid)[0].cpu().numpy()]

    def legend(self) -> Sequence[tuple[str, tuple[int, int, int]]]:  # noqa: D102
        from maetoolkit.modalities.palette import palette

        names = self.class_names or tuple(str(label) for label in range(self.num_classes))
        colours = palette(self.num_classes).tolist()
        return [(name, (red, green, blue)) for name, (red, green, blue) in zip(names, colours, strict=True)]
