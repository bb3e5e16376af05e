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
        """The same plan for what is there: absent tokens are not seen; they may be predicted, and score nothing."""
        import torch

        present = {name: torch.from_numpy(layout.present[name]) for name in self.visible}
        return MaskPlan(
            {name: flags & present[name].to(flags.device) for name, flags in self.visible.items()}, self.target
        )


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
