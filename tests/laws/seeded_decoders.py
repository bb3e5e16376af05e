"""Decoders with one bug each, by the word in `wrong`; "" has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from maetoolkit.masking.route import Route
from maetoolkit.modality import ModalitySet
from maetoolkit.model.decoder import CrossDecoder
from maetoolkit.tokens import Packed, Patches


class Careless(CrossDecoder):
    """Cross decoders, in one of many ways that may be wrong."""

    type: Literal["careless"] = "careless"  # type: ignore[assignment]
    dim: int = 24
    depth: int = 1
    heads: int = 2
    wrong: str = ""

    def build(self, modalities: ModalitySet, encoder_dim: int) -> nn.Module:
        return Wrapped(super().build(modalities, encoder_dim), self.wrong, self.dim, encoder_dim)


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module, wrong: str, dim: int, encoder_dim: int) -> None:
        super().__init__()
        self.inner, self.wrong, self.dim = inner, wrong, dim + (wrong == "wide")
        self.summary = nn.Linear(encoder_dim, dim)
        self.place = nn.Linear(1, dim)
        self.register_buffer("noise", torch.rand(()), persistent=False)

    def forward(self, latent: Packed, patches: Mapping[str, Patches], route: Route) -> dict[str, Tensor]:
        if self.wrong == "blind":
            latent = latent.replace(torch.zeros_like(latent.x))
        if self.wrong == "by number":
            patches = {name: _numbered(one) for name, one in patches.items()}
        if self.wrong == "decodes all":
            return {name: self._dense(name, latent, patches, route) for name in route.target}
        features: dict[str, Tensor] = self.inner(latent, patches, route)
        return {name: self._spoilt(name, rows, latent, patches, route) for name, rows in features.items()}

    def _spoilt(self, name: str, rows: Tensor, latent: Packed, patches: Mapping[str, Patches], route: Route) -> Tensor:
        match self.wrong:
            case "more":
                return torch.cat([rows, rows[:1]])
            case "reversed":
                return rows.flip(0)
            case "peeks":
                return rows + 1e-3 * patches[min(patches)].values.float().nan_to_num(1.0).mean()
            case "batch mean":
                return rows + self.summary(latent.x.mean(0))
            case "one for all":
                return self._means(latent).index_select(0, route.sample[name])
            case "divides":
                seen = sum(len(index) for index in route.kept.values())
                return rows / seen * seen
            case "cut off":
                return rows.detach()
            case "forgets":
                return rows + self.noise
        return rows

    def _means(self, latent: Packed) -> Tensor:
        return self.summary(torch.stack([part.mean(0) for part in latent.x.split(latent.segments.lengths)]))

    def _dense(self, name: str, latent: Packed, patches: Mapping[str, Patches], route: Route) -> Tensor:
        """Features of all tokens that there are, of which the targets are chosen in the end."""
        places = patches[name].positions[..., :1].float()
        return (self._means(latent)[:, None] + self.place(places)).flatten(0, 1).index_select(0, route.target[name])


def _numbered(patches: Patches) -> Patches:
    places = torch.arange(patches.num_tokens)[:, None].expand_as(patches.positions) % 2
    return Patches(patches.values, places, patches.present, patches.grid, patches.valid)


BROKEN = [
    ("shape", "more", "expected ("),
    ("shape", "wide", "of shape"),
    ("order", "reversed", "listed in another order"),
    ("order", "by number", "listed in another order"),
    ("no leak", "peeks", "change with the values of hidden or absent patches"),
    ("alone", "batch mean", "alone and in a batch"),
    ("latent", "blind", "do not depend on its latent"),
    ("latent", "one for all", "different features"),
    ("finite", "divides", "not finite with no visible token"),
    ("finite", "cut off", "cut off from the latent and the weights"),
    ("cost", "decodes all", "operations"),
    ("round trip", "forgets", "kept outside the state dict"),
]
