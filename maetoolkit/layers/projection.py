"""Modules between patch values and tokens. Axes: T tokens, D width."""

from __future__ import annotations

import math

from jaxtyping import Float, Int
from torch import Tensor, nn

from maetoolkit.layers.initialise import xavier_


class PatchProjection(nn.Module):
    """One linear map from a patch's values to a token; its bias serves as the modality's embedding."""

    def __init__(self, content: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(math.prod(content), dim)
        nn.init.xavier_uniform_(self.proj.weight)  # the bias keeps torch's default, as a convolution's does

    def forward(self, values: Float[Tensor, "T ..."]) -> Float[Tensor, "T D"]:
        """Tokens of patches."""
        return self.proj(values.flatten(1))


class LabelProjection(nn.Module):
    """Embeds every label of a patch, then projects the patch (MultiMAE, section 3.1): fewer weights than one-hot."""

    def __init__(self, num_labels: int, label_dim: int, content: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_labels, label_dim)
        nn.init.trunc_normal_(self.embedding.weight, std=0.02)
        self.proj = PatchProjection((label_dim, *content), dim)

    def forward(self, labels: Int[Tensor, "T ..."]) -> Float[Tensor, "T D"]:
        """Tokens of label patches."""
        return self.proj(self.embedding(labels).movedim(-1, 1))


class PatchHead(nn.Module):
    """One linear map from a decoded feature to the predicted values of its patch."""

    def __init__(self, dim: int, content: tuple[int, ...]) -> None:
        super().__init__()
        self.content = content
        self.proj = xavier_(nn.Linear(dim, math.prod(content)))

    def forward(self, features: Float[Tensor, "T D"]) -> Float[Tensor, "T ..."]:
        """Predictions (T, *content)."""
        return self.proj(features).unflatten(1, self.content)
