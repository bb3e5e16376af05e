"""From samples to a Batch: read, crop, collate, and draw the mask plan, all where the data is (in a worker)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from maetoolkit.data import transform
from maetoolkit.errors import DataError
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.modality import Geometry
from maetoolkit.randomness import Draw
from maetoolkit.tokens import Batch, Field

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.data.order import MicroBatch
    from maetoolkit.data.source import Samples, Source
    from maetoolkit.masking.route import Route
    from maetoolkit.masking.sampler import MaskSampler
    from maetoolkit.modality import ModalitySet

Router = Callable[[MaskPlan], "Route"]


def collate(
    rows: Sequence[dict[str, np.ndarray | None]], modalities: ModalitySet, keys: Sequence[str]
) -> dict[str, Field]:
    """Transformed samples -> fields by name. Raises DataError naming the entry and the samples."""
    fields = {}
    for name in modalities.fields:
        try:
            fields[name] = modalities[name].collate([row.get(name) for row in rows])
        except ValueError as error:
            raise DataError(
                f"{name} of samples {', '.join(keys[:4])}{', ...' if len(keys) > 4 else ''}: {error}"
            ) from error
    return fields


def evaluation_batch(samples: Samples, modalities: ModalitySet, indices: Sequence[int]) -> Batch:
    """The given samples, centre-cropped to the declared aspect ratio, not flipped, without a plan."""
    aspect = transform.declared_aspect(modalities)
    keys, rows = [], []
    for index in indices:
        values, key = samples.read(index), samples.key(index)
        frame = transform.sample_frame(values, modalities)
        geometry = Geometry() if frame is None else transform.centre_crop(frame, aspect)
        rows.append(transform.apply(values, modalities, geometry, key))
        keys.append(key)
    return Batch(collate(rows, modalities, keys), tuple(keys))


@dataclass(frozen=True)
class Builder:
    """Makes the Batch of a micro-batch, with plan and route where the sampler needs geometry and presence alone."""

    samples: Samples
    modalities: ModalitySet
    source: Source
    seed: int
    num_steps: int
    sampler: MaskSampler | None = None
    router: Router | None = None

    def __call__(self, request: MicroBatch) -> Batch:
        """Read, crop, collate, plan."""
        aspect = transform.declared_aspect(self.modalities)
        keys, rows = [], []
        for epoch, index in request.places:
            key = self.samples.key(index)
            values = self.source.kept(self.samples.read(index), key)
            frame = transform.sample_frame(values, self.modalities)
            path = (self.seed, "crop", epoch, key)
            geometry = Geometry() if frame is None else transform.random_crop(self.source, frame, aspect, *path)
            geometry = replace(geometry, path=(self.seed, epoch, key))
            rows.append(transform.apply(values, self.modalities, geometry, key))
            keys.append(key)
        fields = collate(rows, self.modalities, keys)
        draw = Draw.of(self.seed, keys, [epoch for epoch, _ in request.places], request.step)
        layout = Layout.of(self.modalities, fields)
        try:
            layout.require_something(keys)
        except ValueError as error:
            hint = "; data.keep drops entries: keep an input in every sample" if self.source.keep else ""
            raise DataError(f"{error}{hint}") from None
        batch = Batch(fields, tuple(keys), draw, weight=self._weight(request))
        if self.sampler is None or self.sampler.at_the_model:
            return batch
        plan = self.sampler(layout, draw, request.step / self.num_steps)
        return replace(batch, plan=plan, route=self.router(plan) if self.router is not None else None)

    def _weight(self, request: MicroBatch) -> Tensor | None:
        import torch

        weights = [self.samples.weight(index) for _, index in request.places]
        return None if all(weight == 1 for weight in weights) else torch.tensor(weights, dtype=torch.float32)
