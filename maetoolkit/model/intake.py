"""From what a caller gives to patches and a plan. Axes: B samples, N tokens of a field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from maetoolkit.masking.plan import MaskPlan
from maetoolkit.masking.route import Route
from maetoolkit.modality import ModalitySet
from maetoolkit.randomness import Draw
from maetoolkit.tokens import Batch, Field, Patches, map_tensors

Given = Batch | Mapping[str, Field | Tensor]


@dataclass(frozen=True)
class Ready:
    """A batch cut into patches, with its plan and route, and what came with it from outside: see `Batch`."""

    patches: Mapping[str, Patches]
    plan: MaskPlan
    route: Route
    draw: Draw
    targets: Mapping[str, Tensor]
    weight: Tensor | None


def as_batch(given: Given, modalities: ModalitySet) -> Batch:
    """A batch as it is; fields by name checked and named as samples 0, 1, ...

    Raises ValueError for unknown names, values that cannot be of their kind, and unequal batch sizes.
    """
    if isinstance(given, Batch):
        return given
    for name in given:
        if modalities[name].of is not None:
            raise ValueError(f"{name!r} has no data of its own: it is made from {modalities[name].of!r}")
    fields = {name: value if isinstance(value, Field) else Field.of(value) for name, value in given.items()}
    for name, field in fields.items():
        try:
            modalities[name].check(field)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    sizes = {name: len(field) for name, field in fields.items()}
    if not sizes or len(set(sizes.values())) != 1:
        raise ValueError(f"expected fields of one batch size, found {sizes}")
    return Batch(fields, tuple(str(i) for i in range(next(iter(sizes.values())))))


def patches_of(batch: Batch, modalities: ModalitySet, device: torch.device) -> dict[str, Patches]:
    """Every field prepared and cut; one that was not given is wholly absent."""
    patches = {}
    for name in modalities.fields:
        modality = modalities[name]
        field = batch.fields[name] if name in batch.fields else modality.collate([None] * len(batch))
        field = map_tensors(field, lambda tensor: tensor.to(device, non_blocking=True))
        patches[name] = modality.patchify(modality.prepare(field))
    return patches
