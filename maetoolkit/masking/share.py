"""Share: hide a fixed share of every field, uniformly at random (MAE, section 3; M3AE, section 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field as Setting
from pydantic import model_validator

from maetoolkit.description import NumberByName
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import Masking, MaskSampler, check_names, complete

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.modality import ModalitySet
    from maetoolkit.randomness import Draw
    from maetoolkit.tokens import Patches


class Share(Masking):
    """Hide `ratio` of the present tokens of every field; `ratios` sets it for single fields.

    Of n present tokens floor(n (1 - ratio)) stay visible. Ratio 0 shows everything, and then only outputs that
    are not given to the encoder are predicted, unless `score` is "all".
    `per` draws one mask for each sample, or one for all samples of a step; `count` takes n as the present tokens, or
    as all places, of which those that turn out to be padding are dropped (the M3AE release: "step" and "all").
    """

    type: Literal["share"] = "share"
    ratio: Annotated[float, Setting(ge=0, le=1)] = 0.75
    ratios: NumberByName = ()
    per: Literal["sample", "step"] = "sample"
    count: Literal["present", "all"] = "present"

    @model_validator(mode="after")
    def _in_range(self) -> Share:
        for name, ratio in self.ratios:
            if not 0 <= ratio <= 1:
                raise ValueError(f"ratios.{name}: expected a share between 0 and 1, found {ratio}")
        return self

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        check_names("ratios", dict(self.ratios), modalities)

    def build(self) -> ShareSampler:  # noqa: D102
        return ShareSampler(self)


class ShareSampler(MaskSampler):
    """Keeps the smallest of one random key per token."""

    settings: Share

    def __init__(self, settings: Share) -> None:
        self.settings = settings

    def __call__(  # noqa: D102
        self,
        layout: Layout,
        draw: Draw,
        progress: float = 0.0,
        patches: Mapping[str, Patches] | None = None,
        scores: Mapping[str, Tensor] | None = None,
    ) -> MaskPlan:
        import numpy as np

        settings, ratios, visible = self.settings, dict(self.settings.ratios), {}
        for name in layout.inputs:
            present = layout.present[name]
            if settings.per == "step":
                keys = np.broadcast_to(draw.shared(f"mask {name}").random(present.shape[1]), present.shape)
            else:
                keys = draw.uniform(f"mask {name}", present.shape[1])
            places = present if settings.count == "present" else np.ones_like(present)
            shown = num_shown(places.sum(1), ratios.get(name, settings.ratio))
            visible[name] = keep_smallest(keys, places, shown) & present
        return complete(layout, visible, settings.score, settings.in_place)


def num_shown(num_tokens: np.ndarray, ratio: float) -> list[int]:
    """floor(n (1 - ratio)), tokens that stay visible of each n."""
    return [math.floor(n * (1 - ratio) + 1e-9) for n in num_tokens]  # 1e-9: 100 * (1 - 0.9) is 10, not 9


def keep_smallest(keys: np.ndarray, present: np.ndarray, budget: list[int] | np.ndarray) -> np.ndarray:
    """bool (B, N): the `budget[b]` present tokens of sample b with the smallest keys; ties go to the first."""
    import numpy as np

    order = np.argsort(np.where(present, keys, np.inf), axis=1, kind="stable")
    chosen = np.arange(keys.shape[1]) < np.asarray(budget)[:, None]
    flags = np.zeros_like(present)
    np.put_along_axis(flags, order, chosen, axis=1)
    return flags & present
