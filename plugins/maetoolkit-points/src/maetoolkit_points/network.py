"""What has weights, and the distance between sets of points. Axes: T groups, K points of a group, D width."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from maetoolkit.layers.initialise import xavier_
from maetoolkit.layers.projection import PatchHead


class GroupNet(nn.Module):
    """A group's points, whatever their order, to one token: a small PointNet (Qi et al. 2017; Point-MAE, section 3.1).

    Each point alone, the maximum over the group joined to each, each alone again, the maximum. No batch norm, which
    would let one group see others.
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.local = nn.Sequential(xavier_(nn.Linear(3, width)), nn.GELU(), xavier_(nn.Linear(width, 2 * width)))
        self.joined = nn.Sequential(
            xavier_(nn.Linear(4 * width, 4 * width)), nn.GELU(), xavier_(nn.Linear(4 * width, dim))
        )

    def forward(self, values: Float[Tensor, "T K 3"]) -> Float[Tensor, "T D"]:
        """Tokens of groups."""
        local = self.local(values)
        whole = local.amax(1, keepdim=True).expand_as(local)
        return self.joined(torch.cat([whole, local], dim=2)).amax(1)


class CentrePosition(nn.Module):
    """Embeds where a group's centre is by a small network that is learned (Point-MAE, section 3.1)."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(xavier_(nn.Linear(3, width)), nn.GELU(), xavier_(nn.Linear(width, dim)))

    def forward(self, positions: Float[Tensor, "T 3"], grid: None = None) -> Float[Tensor, "T D"]:
        """Embeddings of centres."""
        return self.mlp(positions)


def point_head(dim: int, num_points: int, spread: float) -> PatchHead:
    """A linear map to the points of a group, whose first guesses have this standard deviation about the centre."""
    head = PatchHead(dim, (num_points, 3))
    with torch.no_grad():
        head.proj.weight.mul_(spread)
    return head


def chamfer(
    prediction: Float[Tensor, "T K 3"], target: Float[Tensor, "T L 3"], valid: Bool[Tensor, "T L"] | None
) -> Float[Tensor, "T"]:
    """Squared Chamfer distance of each group, float32: the mean squared distance of predicted points to the nearest
    true one, plus that of true points to the nearest predicted one (Fan et al. 2017; Point-MAE, equation 5).

    True points that are not `valid` are not there; a group without any has distance 0.
    """
    squared = (prediction.float()[:, :, None] - target.float()[:, None]).square().sum(3)
    if valid is None:
        return squared.amin(2).mean(1) + squared.amin(1).mean(1)
    to_true = squared.masked_fill(~valid[:, None], torch.inf).amin(2)
    to_true = to_true.where(valid.any(1, keepdim=True), 0.0).mean(1)
    to_predicted = squared.amin(1).where(valid, 0.0).sum(1) / valid.sum(1).clamp(min=1)
    return to_true + to_predicted
