"""The law that nothing is lost on the way to a file and back."""

from __future__ import annotations

import pickle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from maetoolkit.description import Description
from maetoolkit.testing.case import ModalityCase
from maetoolkit.testing.law import law, require
from maetoolkit.train.document import parse
from maetoolkit.train.write import to_yaml


@law("round trip")
def round_trip(case: ModalityCase) -> None:
    """A description survives being written as plain values, as YAML and as a pickle (for workers), and the weights it
    builds survive safetensors; the same predictions come out."""
    description_survives(case.modality)
    _weights_survive(case)


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


def _weights_survive(case: ModalityCase) -> None:
    from safetensors.torch import load_file, save_file

    model, other = case.model(), ModalityCase(case.modality, case.source, case.examples, case.seed + 1).model()
    before = model.state_dict()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_file({name: value.contiguous() for name, value in before.items()}, file)
        other.load_state_dict(load_file(file), strict=True)
    for name, value in other.state_dict().items():
        require(torch.equal(value, before[name]), f"{name} differs after safetensors")
    batch = case.batch(case.fields())
    with torch.no_grad():
        expected, found = model.eval()(batch), other.eval()(batch)
    for name, prediction in expected.predictions.items():
        same = torch.equal(prediction, found.predictions[name])
        require(same, f"predictions of {name} differ after safetensors: something is kept outside the state dict")
