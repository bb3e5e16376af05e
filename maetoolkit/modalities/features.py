"""Features: the output of a teacher at another entry's tokens. Axes: T tokens, D feature width."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, cast

from maetoolkit.modalities.derived import Derived
from maetoolkit.plugins import nested

if TYPE_CHECKING:
    from torch import Tensor, nn

    from maetoolkit.model.target import TargetDescription


class Features(Derived):
    """Predicts what a teacher makes of another entry, per token: cosine distance or mean squared error.

    `teacher` is frozen (EVA, section 2.1) or an average of the student itself (data2vec, section 3.3). `standardize`
    gives every target mean 0 and variance 1 over its width. `score` says at which tokens: the hidden ones (EVA), the
    visible ones (MaskAlign) or all.
    """

    type: Literal["features"] = "features"
    teacher: nested("targets")  # type: ignore[valid-type]
    loss: Literal["cosine", "mse"] = "cosine"
    standardize: bool = False

    reconstructs: ClassVar[bool] = False

    def taught_by(self) -> TargetDescription:  # noqa: D102
        return cast("TargetDescription", self.teacher)

    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:  # noqa: D102
        from maetoolkit.layers.projection import PatchHead

        return PatchHead(dim, content)

    def target(self, values: Tensor) -> Tensor:  # noqa: D102
        from torch.nn import functional as F

        return F.layer_norm(values.float(), values.shape[-1:]) if self.standardize else values.float()

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:  # noqa: D102
        from torch.nn import functional as F

        if self.loss == "cosine":
            error = 1 - F.cosine_similarity(prediction.float(), target.float(), dim=-1)
        else:
            error = (prediction.float() - target.float()).square().mean(-1)
        return error, self.token_count(target, valid)

    def token_count(self, target: Tensor, valid: Tensor | None) -> Tensor:  # noqa: D102
        import torch

        return torch.ones(len(target), dtype=torch.float32, device=target.device)
