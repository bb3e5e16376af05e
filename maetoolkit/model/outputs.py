"""What the model returns. Axes: B samples, N tokens of a field, T chosen tokens, G global tokens, D width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maetoolkit.masking.plan import Layout, MaskPlan

if TYPE_CHECKING:
    from maetoolkit.masking.route import Route
    from maetoolkit.model.balance import Score
    from maetoolkit.tokens import Packed, Patches


@dataclass(frozen=True)
class Output:
    """A training pass: the loss to differentiate, every output's loss, and what they were made of.

    predictions and scores: output -> one row per target token, in the order of `route.target`.
    masking: the part of the loss that is the mask sampler's own, where it learns.
    """

    loss: Float[Tensor, ""]
    losses: Mapping[str, Float[Tensor, ""]]
    predictions: Mapping[str, Tensor]
    scores: Mapping[str, Score]
    plan: MaskPlan
    route: Route
    masking: Float[Tensor, ""] | None = None


@dataclass(frozen=True)
class Reconstruction:
    """A pass for people to look at.

    patches: field -> prepared truth; predicted: output -> (B, N, ...) patch values, zero where nothing was predicted;
    losses: output -> loss; token_loss: output -> (B, N) mean loss of every predicted token, zero elsewhere;
    confidence: output -> (B, N) how sure the model is of its prediction, where the kind of data says so.
    Outputs whose predictions do not stand for patch values (a teacher's features) are left out.
    """

    patches: Mapping[str, Patches]
    predicted: Mapping[str, Tensor]
    plan: MaskPlan
    losses: Mapping[str, Float[Tensor, ""]]
    token_loss: Mapping[str, Float[Tensor, "B N"]]
    confidence: Mapping[str, Float[Tensor, "B N"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Encoded:
    """What the encoder made of a batch: the latent, and those of the layers that were asked for."""

    latent: Packed
    route: Route
    num_globals: int
    grids: Mapping[str, tuple[int, ...] | None]
    layers: tuple[Packed, ...] = ()

    @property
    def summary(self) -> Float[Tensor, "B G D"]:
        """The encoded global tokens."""
        rows = self.latent.x.index_select(0, self.route.globals)
        return rows.unflatten(0, (self.route.num_samples, self.num_globals))

    def tokens(self, name: str, layer: int | None = None) -> Float[Tensor, "B N D"]:
        """Features of one input's tokens, of the last layer or of number `layer` of those kept.

        Raises ValueError where samples hold different numbers of them (some are absent).
        """
        rows = (self.latent if layer is None else self.layers[layer]).x.index_select(0, self.route.rows[name])
        owner = torch.bincount(self.route.kept[name] // self._width(name), minlength=self.route.num_samples)
        if len(owner.unique()) != 1:
            raise ValueError(
                f"{name!r} is absent, or in part, in some samples; use `latent` and `route.rows[{name!r}]`"
            )
        return rows.unflatten(0, (self.route.num_samples, -1))

    def mean(self) -> Float[Tensor, "B D"]:
        """Mean of all encoded tokens of each sample, global tokens included (MultiMAE's pooling)."""
        return torch.stack([part.mean(0) for part in self.latent.x.split(self.latent.segments.lengths)])

    def _width(self, name: str) -> int:
        return self.route.num_tokens[name]


def everything_else(layout: Layout) -> MaskPlan:
    """All present tokens visible, and all absent ones of every output predicted."""
    visible = {name: torch.from_numpy(layout.present[name]) for name in layout.inputs}
    return MaskPlan(
        visible, {name: ~torch.from_numpy(layout.present[source]) for name, source in layout.sources.items()}
    )


def everything_visible(layout: Layout) -> MaskPlan:
    """All present tokens visible and nothing to predict.

    Raises ValueError where a sample has nothing present.
    """
    visible = {name: torch.from_numpy(layout.present[name]) for name in layout.inputs}
    seen: Bool[Tensor, "B"] = torch.stack([flags.any(1) for flags in visible.values()]).any(0)
    if not bool(seen.all()):
        raise ValueError(
            f"sample {int((~seen).nonzero()[0])} has nothing present; give it at least one of {layout.inputs}"
        )
    target = {
        name: torch.zeros(layout.present[source].shape, dtype=torch.bool) for name, source in layout.sources.items()
    }
    return MaskPlan(visible, target)
