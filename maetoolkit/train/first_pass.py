"""Trying an encoder, decoder or objective that a plugin offers on the first samples, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from maetoolkit.plugins import registry
from maetoolkit.tokens import Batch, Packed
from maetoolkit.train.trial import Subject

if TYPE_CHECKING:
    from maetoolkit.train.run import Run


def check_pass(run: Run, batch: Batch) -> None:
    """Where encoder, decoder or objective are not built in, take a batch with its plan through all three.

    Raises ConfigError that names the part, its owner, what was expected and what was found.
    """
    recipe, model = run.recipe, run.model
    parts = {"encoder": "encoders", "decoder": "decoders", "objective": "objectives"}
    subjects = {part: Subject(part, kind, getattr(recipe, part)) for part, kind in parts.items()}
    if all(_builtin(subject) for subject in subjects.values()):
        return
    ready = model.cut(batch)
    encoder, decoder, objective = subjects["encoder"], subjects["decoder"], subjects["objective"]
    given = model.embed(ready.patches, ready.route)
    latent = encoder.call("the encoder", model.encoder, given)
    shape = (given.segments.total, model.encoder.dim)
    good = isinstance(latent, Packed) and isinstance(latent.x, Tensor) and tuple(latent.x.shape) == shape
    encoder.expect("the encoder", good, f"Packed with `x` {shape}: as many tokens as it was given", latent)
    features = decoder.call("the decoder", model.decoder, latent, ready.patches, ready.route)
    named = isinstance(features, Mapping) and set(features) >= set(model.heads)
    decoder.expect("the decoder", named, f"features by output ({', '.join(model.heads)})", features)
    for name in model.heads:
        wanted = (len(ready.route.target[name]), int(model.decoder.dim))  # type: ignore[arg-type]
        found = features[name]
        good = isinstance(found, Tensor) and found.is_floating_point() and tuple(found.shape) == wanted
        decoder.expect("the decoder", good, f"for {name}, floats {wanted}: target tokens, `dim`", found)
    scores = model.score(model.predictions(features), ready)
    found = objective.call("the objective", model.objective, scores, ready.route.num_samples)
    good = (
        isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], Tensor) and isinstance(found[1], Mapping)
    )
    objective.expect("the objective", good, "(loss, losses by output)", found)
    scalar = found[0].ndim == 0 and found[0].dtype == torch.float32 and found[0].requires_grad
    objective.expect("the objective", scalar, "a loss that is one float32 number with a gradient", found[0])


def _builtin(subject: Subject) -> bool:
    name = str(getattr(subject.description, "type", ""))
    owner = getattr(registry(), subject.kind).owner(name)
    return owner is not None and owner.builtin
