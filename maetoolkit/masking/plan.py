"""MaskPlan: per field, which tokens enter the encoder and which are predicted and scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool
    from torch import Tensor

    from maetoolkit.modality import ModalitySet
    from maetoolkit.tokens import Field


@dataclass(frozen=True)
class MaskPlan:
    """What is seen and what is predicted, as flags named for what is True.

    visible: input name -> bool (B, N), the tokens that enter the encoder.
    target: output name -> bool (B, N), the tokens that are predicted and scored.
    Held on the host, so that the sizes of everything that follows are known without asking a device.
    """

    visible: Mapping[str, Bool[Tensor, "B N"]]
    target: Mapping[str, Bool[Tensor, "B N"]]

    def among(self, layout: Layout) -> MaskPlan:
        """The same plan for what is there: absent tokens are not seen; they may be predicted, and score nothing.

        Inputs that are not named are not seen, outputs that are not named are not predicted.
        """
        import torch

        self._check(layout)
        present = {name: torch.from_numpy(flags) for name, flags in layout.present.items()}
        none = {name: torch.zeros_like(flags) for name, flags in present.items()}
        visible = {name: self.visible.get(name, none[name]) for name in layout.inputs}
        target = {name: self.target.get(name, none[source]) for name, source in layout.sources.items()}
        return MaskPlan({name: flags & present[name].to(flags.device) for name, flags in visible.items()}, target)

    def _check(self, layout: Layout) -> None:
        """Raise ValueError where a mask is for no entry, of another shape, or no bool."""
        fields = {"visible": {name: name for name in layout.inputs}, "target": dict(layout.sources)}
        for what, masks in (("visible", self.visible), ("target", self.target)):
            for name, flags in masks.items():
                if name not in fields[what]:
                    raise ValueError(f"plan: {what} has {name!r}; expected only {', '.join(fields[what])}")
                shape = layout.present[fields[what][name]].shape
                if tuple(flags.shape) != shape or flags.dtype.is_floating_point or flags.dtype.itemsize != 1:
                    found = f"{flags.dtype} of shape {tuple(flags.shape)}"
                    raise ValueError(f"plan: {what}[{name!r}] must be bool of shape {shape}, found {found}")


@dataclass(frozen=True)
class Layout:
    """What a sampler may know of a batch without looking at values; all arrays are on the host.

    present: field name -> bool (B, N), tokens that exist, for every entry with data of its own.
    grids: field name -> shape of its token grid, or None.
    inputs: entries the encoder may be given, in order.
    sources: output name -> the entry whose tokens it predicts.
    """

    present: Mapping[str, np.ndarray]
    grids: Mapping[str, tuple[int, ...] | None]
    inputs: tuple[str, ...]
    sources: Mapping[str, str]

    def __len__(self) -> int:
        return len(next(iter(self.present.values())))

    @classmethod
    def of(cls, modalities: ModalitySet, fields: Mapping[str, Field]) -> Layout:
        """The layout of a batch of fields on the host; a field that was not given is wholly absent."""
        import numpy as np

        num_samples = len(next(iter(fields.values())))
        present: dict[str, np.ndarray] = {}
        grids: dict[str, tuple[int, ...] | None] = {}
        for name in modalities.fields:
            grids[name], num_tokens = modalities[name].layout(fields.get(name))
            flags = fields[name].present.cpu().numpy() if name in fields else np.zeros(num_samples, bool)
            present[name] = flags if flags.ndim == 2 else np.repeat(flags[:, None], num_tokens, axis=1)
        return cls(present, grids, modalities.inputs, modalities.sources)
