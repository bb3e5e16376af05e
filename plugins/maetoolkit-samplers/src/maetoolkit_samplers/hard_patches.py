"""HardPatches: hide what is hard to reconstruct, more and more of it (HPM, Wang et al. 2023, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field as Setting
from pydantic import PositiveFloat, PositiveInt, model_validator

from maetoolkit.masking.ratio import Ratio, RatioMasking

if TYPE_CHECKING:
    from maetoolkit.masking import MaskSampler
    from maetoolkit.modality import ModalitySet


class HardPatches(RatioMasking):
    """Hide `ratio` of the present tokens of every entry; a growing part of them are those that are hardest.

    Of the hidden tokens the share that is taken from the hardest rises linearly over the run from `start` to `end`;
    the others are random. How hard a token is says a small transformer (`dim`, `depth`, `heads`) that looks at the
    patches of its entry, as it was on average over the last steps (`momentum`). It learns, beside the model and by the
    model's optimizer, which of two patches has the larger loss; `weight` is that of this ranking loss. Its weights,
    and their average, are part of the model's checkpoints. `ratios` sets the share of single entries.
    """

    type: Literal["hard_patches"] = "hard_patches"
    start: Ratio = 0.0
    end: Ratio = 0.5
    dim: PositiveInt = 96
    depth: PositiveInt = 1
    heads: PositiveInt = 4
    momentum: Annotated[float, Setting(ge=0, lt=1)] = 0.999
    weight: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _heads_divide(self) -> HardPatches:
        if self.dim % self.heads:
            raise ValueError(f"heads: {self.heads} does not divide dim {self.dim}")
        return self

    def build(self) -> MaskSampler:
        """Refused: what predicts the losses depends on the modalities."""
        raise ValueError("hard_patches: its weights depend on the modalities; use build_for(modalities)")

    def build_for(self, modalities: ModalitySet) -> MaskSampler:  # noqa: D102
        from maetoolkit_samplers.hardness import HardPatchSampler

        return HardPatchSampler(self, modalities)
