"""MaskPlan: per field, which tokens enter the encoder and which are predicted and scored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Int
    from torch import Tensor

    from maetoolkit.modality import ModalitySet, Scored
    from maetoolkit.tokens import Field


@dataclass(frozen=True)
class MaskPlan:
    """What is seen and what is predicted, as flags named for what is True.

    visible: input name -> bool (B, N), the tokens that enter the encoder with their content.
    target: output name -> bool (B, N), the tokens that are predicted and scored.
    in_place: input name -> bool (B, N), hidden tokens in whose place a mask token enters the encoder (BERT, SimMIM).
    content: input name -> int (B, N), the token of the same sample whose content a visible token shows instead of its
    own (BERT's random tokens); itself where nothing is changed.
    Held on the host, so that the sizes of everything that follows are known without asking a device.
    """

    visible: Mapping[str, Bool[Tensor, "B N"]]
    target: Mapping[str, Bool[Tensor, "B N"]]
    in_place: Mapping[str, Bool[Tensor, "B N"]] = field(default_factory=dict)
    content: Mapping[str, Int[Tensor, "B N"]] = field(default_factory=dict)

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
        return MaskPlan(_where(visible, present), target, _where(self.in_place, present), self.content)

    def holding(self, layout: Layout, names: Collection[str]) -> MaskPlan:
        """The same plan with mask tokens for all that is present and hidden of those of `names` that have none yet."""
        import torch

        hidden = {n: torch.from_numpy(layout.present[n]) for n in names if n not in self.in_place}
        hidden = {n: flags & ~self.visible[n].cpu() if n in self.visible else flags for n, flags in hidden.items()}
        return replace(self, in_place={**self.in_place, **hidden})

    def _check(self, layout: Layout) -> None:
        """Raise ValueError where a mask is for no entry, of another shape, or no bool."""
        import torch

        fields = {"visible": {name: name for name in layout.inputs}, "target": dict(layout.sources)}
        fields |= {"in_place": fields["visible"], "content": fields["visible"]}
        for what, known in fields.items():
            for name, found in getattr(self, what).items():
                if name not in known:
                    raise ValueError(f"plan: {what} has {name!r}; expected only {', '.join(known)}")
                shape = layout.present[known[name]].shape
                kind = torch.int64 if what == "content" else torch.bool
                if tuple(found.shape) != shape or found.dtype != kind:
                    expected = f"{'int64' if what == 'content' else 'bool'} of shape {shape}"
                    looks = f"{found.dtype} of shape {tuple(found.shape)}"
                    raise ValueError(f"plan: {what}[{name!r}] must be {expected}, found {looks}")
                if what == "content" and found.numel() and not 0 <= int(found.min()) <= int(found.max()) < shape[1]:
                    raise ValueError(f"plan: content[{name!r}] must name tokens 0 to {shape[1] - 1}")
                if what == "in_place" and name in self.visible and bool((found & self.visible[name]).any()):
                    raise ValueError(f"plan: tokens of {name!r} are both visible and in_place; expected at most one")


def _where(masks: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: flags & present[name].to(flags.device) for name, flags in masks.items()}


@dataclass(frozen=True)
class Layout:
    """What a sampler may know of a batch without looking at values; all arrays are on the host.

    present: field name -> bool (B, N), tokens that exist, for every entry with data of its own.
    grids: field name -> shape of its token grid, or None.
    inputs: entries the encoder may be given, in order.
    sources: output name -> the entry whose tokens it predicts.
    scored: output name -> which of its tokens are predicted, for outputs that say so themselves.
    """

    present: Mapping[str, np.ndarray]
    grids: Mapping[str, tuple[int, ...] | None]
    inputs: tuple[str, ...]
    sources: Mapping[str, str]
    scored: Mapping[str, Scored] = field(default_factory=dict)

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
        scored = {name: how for name in modalities.outputs if (how := modalities[name].score) is not None}
        return cls(present, grids, modalities.inputs, modalities.sources, scored)

    def only(self, names: Collection[str]) -> Layout:
        """The layout for a sampler of some inputs alone, and of the outputs that predict their tokens."""
        inputs = tuple(name for name in self.inputs if name in names)
        return replace(self, inputs=inputs, sources={o: s for o, s in self.sources.items() if s in inputs})

    def require_something(self, keys: Sequence[str]) -> None:
        """Raise ValueError naming the first sample in which no token of any input is present."""
        import numpy as np

        there = np.stack([self.present[name].any(1) for name in self.inputs]).any(0)
        if not there.all():
            raise ValueError(
                f"sample {keys[int(np.flatnonzero(~there)[0])]!r} has nothing present that the encoder may be given; "
                f"expected at least one of {', '.join(self.inputs)}: leave the sample out, or repair its files"
            )
