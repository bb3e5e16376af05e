"""Surface normals: unit vectors per pixel, scored by the angle between them. A plugin of maetoolkit in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from maetoolkit.modalities.grid import GridModality
from maetoolkit.plugins import hookimpl

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.modality import Geometry, Modality
    from maetoolkit.tokens import Field

MAETOOLKIT_API = 1
SHORTEST = 1e-6  # shorter vectors have no direction


class Normals(GridModality):
    """Values (B, 3, H, W) of any length, x right; zero vectors and NaN are missing measurements."""

    type: Literal["normals"] = "normals"
    channels: Literal[3] = 3
    loss: Literal["cosine"] = "cosine"  # type: ignore[assignment]

    suffixes: ClassVar[tuple[str, ...]] = (".npy",)

    def read(self, data: bytes) -> np.ndarray:
        """(H, W, 3) as stored."""
        from maetoolkit.modalities.decode import decode

        value = decode(data, colour=False)
        if value.ndim != 3 or value.shape[2] != 3 or value.dtype.kind not in "if":
            raise ValueError(f"expected signed normals (H, W, 3), found {value.dtype} of shape {value.shape}")
        return value

    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        """Crop and flip; in a mirror, right is left."""
        turned = super().transform(value, geometry)
        if geometry.flip:
            turned[0] = -turned[0]
        return turned

    def prepare(self, field: Field) -> Field:
        """Unit vectors, and which of them were measured."""
        from maetoolkit.tokens import Field

        values = field.values.float()
        length = values.norm(dim=1, keepdim=True)
        valid = length.isfinite() & (length > SHORTEST)
        if field.valid is not None:
            valid = valid & field.valid
        return Field((values / length).where(valid, 0.0), field.present, valid)

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """1 - cosine per pixel."""
        error = 1 - (self.to_values(prediction.float(), target) * target.float()).sum(1)
        if valid is not None:
            error = error.where(valid.all(1), 0.0)
        return error.flatten(1).sum(1), self.token_count(target, valid)

    def token_count(self, target: Tensor, valid: Tensor | None) -> Tensor:
        """Valid pixels, not components."""
        return super().token_count(target[:, 0], None if valid is None else valid.all(1))

    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:
        """Unit vectors."""
        from torch.nn.functional import normalize

        return normalize(prediction, dim=1, eps=SHORTEST)

    def picture(self, values: Tensor, grid: tuple[int, ...] | None, truth: Tensor | None = None) -> np.ndarray:
        """The usual colours: (n + 1) / 2."""
        image = (self.unpatchify(values[None], grid)[0].cpu().float().clamp(-1, 1) + 1) / 2
        drawn: np.ndarray = (image * 255).round().byte().permute(1, 2, 0).numpy()
        return drawn


@hookimpl
def maetoolkit_modalities() -> Mapping[str, type[Modality]]:
    """What recipes call `type: normals`."""
    return {"normals": Normals}


@hookimpl
def maetoolkit_recipes() -> Mapping[str, Path]:
    """What `maetool pretrain` calls rgb-normals."""
    return {"rgb-normals": Path(__file__).parent / "rgb-normals.yaml"}
