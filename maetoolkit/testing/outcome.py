"""What a model makes of patches, step by step as `forward` does, so that laws can change what lies between."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.intake import Ready
from maetoolkit.tokens import Patches


def predict(model: MaskedAutoencoder, ready: Ready) -> dict[str, Tensor]:
    """Predictions from patches."""
    latent = model.encoder(model.embed(ready.patches, ready.route))
    return model.predictions(model.decoder(latent, ready.patches, ready.route))


def numbers_of(model: MaskedAutoencoder, ready: Ready) -> dict[str, Tensor]:
    """Losses of every output and gradients of every weight."""
    model.zero_grad()
    scores = model.score(predict(model, ready), ready)
    loss, losses = model.objective(scores, ready.route.num_samples)
    loss.backward()
    return {**{f"the loss of {name}": one.detach() for name, one in losses.items()}, **gradients(model)}


def gradients(model: MaskedAutoencoder) -> dict[str, Tensor]:
    """The gradient of every weight that has one, by a name for people."""
    return {f"the gradient of {n}": p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def with_values(ready: Ready, name: str, values: Tensor) -> Ready:
    """The same batch with other content in one field's patches."""
    return replace(ready, patches={**ready.patches, name: replace(ready.patches[name], values=values)})


def present_rows(patches: Patches) -> Tensor:
    """Flat indices of the tokens that exist: those of padding hold anything, and are shown to no module."""
    return torch.nonzero(patches.present.flatten())[:, 0]
