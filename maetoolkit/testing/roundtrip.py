"""The law that nothing is lost on the way to a file and back."""

from __future__ import annotations

import pickle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from maetoolkit.description import Description
from maetoolkit.testing.case import ModalityCase
from maetoolkit.testing.law import law, require
from maetoolkit.train.document import parse
from maetoolkit.train.write import to_yaml


@law(
    "round trip",
    why="A run is what its recipe and its checkpoint say; what they leave out is lost on resume and in every worker.",
    see="plain = case.modality.model_dump(mode='json')\n"
    "plain, type(case.modality).model_validate(plain) == case.modality",
)
def round_trip(case: ModalityCase) -> None:
    """A description survives being written as plain values, as YAML and as a pickle (for workers), and the weights it
    builds survive safetensors; the same predictions come out."""
    description_survives(case.modality)
    model, other = case.model(), case.reseeded().model()
    weights_survive(model, other)
    batch = case.batch(case.fields())
    with torch.no_grad():
        expected, found = model.eval()(batch), other.eval()(batch)
    for name, prediction in expected.predictions.items():
        same = torch.equal(prediction, found.predictions[name])
        require(same, f"predictions of {name} differ after safetensors: something is kept outside the state dict")


def description_survives(description: Description) -> None:
    """Plain values, YAML and pickle give an equal description of the same hash."""
    plain = description.model_dump(mode="json")
    text = to_yaml({"described": plain})
    read: Any = parse(text, "round trip").values
    copies = {
        "plain values": type(description).model_validate(plain),
        "YAML": type(description).model_validate(read["described"]),
        "a pickle": pickle.loads(pickle.dumps(description)),
    }
    require(plain.get("type"), "the description has no `type`; declare `type: Literal['name'] = 'name'`")
    for way, copy in copies.items():
        require(copy == description, f"after {way} the description is {copy!r}, before it was {description!r}")
        require(hash(copy) == hash(description), f"the hash differs after {way}; settings must be tuples, not lists")


def weights_survive(module: nn.Module, other: nn.Module) -> None:
    """Write one module's state to safetensors and read it into another, built alike with other numbers."""
    from safetensors.torch import load_file, save_file

    before = module.state_dict()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_file({name: value.contiguous() for name, value in before.items()}, file)
        other.load_state_dict(load_file(file), strict=True)
    for name, value in other.state_dict().items():
        require(torch.equal(value, before[name]), f"{name} differs after safetensors")
