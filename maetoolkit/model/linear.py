"""Heads on the encoder's own tokens (SimMIM, section 3.4; BERT). Axes: T latent and target tokens, D width."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from maetoolkit.masking.route import Route
from maetoolkit.modality import ModalitySet
from maetoolkit.tokens import Packed, Patches


class EncoderTokens(nn.Module):
    """Hands every target token's own row of the latent to its head."""

    def __init__(self, modalities: ModalitySet, encoder_dim: int) -> None:
        super().__init__()
        self.dim, self.sources = encoder_dim, modalities.sources

    def forward(self, latent: Packed, patches: Mapping[str, Patches], route: Route) -> dict[str, Float[Tensor, "T D"]]:
        """Features of the target tokens of every output. Raises ValueError where the encoder does not hold one."""
        features = {}
        for name, field in self.sources.items():
            stack = route.stacks[name]
            rows, num_targets = stack.latent[field], len(route.target[name])
            if len(stack.tokens[field]) != len(rows):
                raise ValueError(
                    f"decoder.type: a linear decoder was asked for tokens of {name!r} that the encoder does not hold; "
                    "it predicts what is masked in place, never an entry that is absent; use a cross or joint decoder"
                )
            wanted = stack.scored.index_select(0, stack.target[name])
            # rows of one field in its sequence are in the order of its tokens
            features[name] = latent.x.index_select(0, rows.index_select(0, wanted)) if num_targets else latent.x[:0]
        return features
