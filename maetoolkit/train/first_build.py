"""Finding who is to blame where a model cannot be built: every part once more, by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from maetoolkit.masking.sampler import MaskSampler
from maetoolkit.train.callbacks import Callback
from maetoolkit.train.trial import Subject

if TYPE_CHECKING:
    from maetoolkit.modality import Modality
    from maetoolkit.train.recipe import Recipe


def check_build(recipe: Recipe) -> None:
    """Build the parts of a model one by one. Raises ConfigError that names the first part that is not built right."""
    modalities, described = recipe.modality_set, recipe.encoder.model_copy(update={"init": None})
    with torch.random.fork_rng(devices=[]):
        encoder = _module(Subject("encoder", "encoders", described), "build", "dim")
        for name in modalities.inputs:
            subject = Subject(f"modalities.{name}", "modalities", modalities[name])
            _module(subject, "build_tokenizer", "", encoder.dim)
            _module(subject, "build_position", "", encoder.dim, "encoder")
        masking = Subject("masking", "samplers", recipe.masking)
        sampler = masking.call("build", recipe.masking.build_for, modalities)
        masking.expect("build", isinstance(sampler, MaskSampler), "a MaskSampler", sampler)
        decoder = _module(Subject("decoder", "decoders", recipe.decoder), "build", "dim", modalities, encoder.dim)
        for name in modalities.outputs:
            subject = Subject(f"modalities.{name}", "modalities", modalities[name])
            content = _content(subject, modalities[modalities.source(name)], encoder.dim)
            _module(subject, "build_head", "", decoder.dim, content)
        _module(Subject("objective", "objectives", recipe.objective), "build", "", modalities.outputs)


def build_callbacks(recipe: Recipe) -> list[Callback]:
    """The callbacks that a recipe names. Raises ConfigError that names one that is not built right."""
    found = []
    for number, description in enumerate(recipe.callbacks):
        subject = Subject(f"callbacks.{number}", "callbacks", description)
        found.append(subject.call("build", description.build))
        subject.expect("build", isinstance(found[-1], Callback), "a Callback", found[-1])
    return found


def _content(subject: Subject, source: Modality, dim: int) -> tuple[int, ...]:
    """The shape of what an output's head predicts: one token's patch values, or its teacher's features of them."""
    modality: Any = subject.description
    teacher = modality.taught_by()
    if teacher is None:
        return source.content
    taught = Subject(f"{subject.place}.teacher", "targets", teacher)
    width = taught.call("width", teacher.width, dim, source)
    taught.expect("width", isinstance(width, int) and width > 0, "a whole number above 0", width)
    return (width,)


def _module(subject: Subject, method: str, number: str, *given: Any) -> Any:
    """What a method builds: a torch module, with a whole number of that name where one is asked for."""
    found = subject.call(method, getattr(subject.description, method), *given)
    subject.expect(method, isinstance(found, nn.Module), "a torch module", found)
    if number:
        subject.expect(
            method, isinstance(getattr(found, number, None), int), f"a module with its width as `{number}`", found
        )
    return found
