"""Dirichlet: a constant budget of visible tokens, divided among the fields at random (MultiMAE, section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from maetoolkit.description import NumberByName
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import Masking, MaskSampler, check_names, complete
from maetoolkit.masking.share import keep_smallest

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from maetoolkit.modality import ModalitySet
    from maetoolkit.randomness import Draw
    from maetoolkit.tokens import Patches

SUBSET_ALPHA = 1e-5  # the release adds it to every concentration when a subset is drawn first


class Dirichlet(Masking):
    """Show exactly `num_visible` tokens of every sample, with shares per field drawn from Dirichlet(`alpha`).

    `alpha` is one number, one per field by name, or "inf" for equal shares; small ones make samples uneven.
    `subsets` first chooses a non-empty subset of the fields, uniformly. Shares become whole tokens by `rounding`:
    "apportion" (Sainte-Lague: closest to the shares, never above what is there) or "published" (the distribution
    of the MultiMAE release, whose rounding is mended by adding or removing single random tokens).
    """

    type: Literal["dirichlet"] = "dirichlet"
    num_visible: PositiveInt = 98
    alpha: PositiveFloat | Literal["inf"] | NumberByName = 1.0
    subsets: bool = False
    rounding: Literal["apportion", "published"] = "apportion"

    @model_validator(mode="after")
    def _positive(self) -> Dirichlet:
        for name, alpha in self.alphas().items():
            if alpha <= 0:
                raise ValueError(f"alpha.{name}: expected a number above 0, found {alpha}")
        return self

    def alphas(self) -> dict[str, float]:
        """Concentrations given by name."""
        return dict(self.alpha) if isinstance(self.alpha, tuple) else {}

    def check(self, modalities: ModalitySet) -> None:  # noqa: D102
        check_names("alpha", self.alphas(), modalities)
        if self.alphas() and (missing := [name for name in modalities.inputs if name not in self.alphas()]):
            raise ValueError(f"alpha: expected a number for each input, found none for {', '.join(missing)}")
        num = {name: modalities[name].num_tokens for name in modalities.inputs}
        if self.num_visible > sum(num.values()):
            listed = ", ".join(f"{name} {n}" for name, n in num.items())
            raise ValueError(
                f"num_visible: expected at most the {sum(num.values())} tokens there are ({listed}), "
                f"found {self.num_visible}; lower it, or use smaller patches"
            )

    def build(self) -> DirichletSampler:  # noqa: D102
        return DirichletSampler(self)


class DirichletSampler(MaskSampler):
    """Draws shares and token orders per sample, then keeps the smallest of one key per token of the whole sample."""

    settings: Dirichlet

    def __init__(self, settings: Dirichlet) -> None:
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

        names = layout.inputs
        present = np.concatenate([layout.present[name] for name in names], axis=1)
        num_tokens = [layout.present[name].shape[1] for name in names]
        there = np.stack([layout.present[name].any(1) for name in names], axis=1)
        published = self.settings.rounding == "published"
        shares = np.empty(there.shape)
        uniforms = np.ones((2 if published else 1, *present.shape))
        drawn = up_to_the_last(present, num_tokens)  # so that a plan does not depend on how far fields are padded
        for sample in range(len(layout)):
            stream = draw.generator("mask", sample)
            shares[sample] = self.shares(stream, names, there[sample])
            uniforms[:, sample, drawn[sample]] = stream.random((len(uniforms), int(drawn[sample].sum())))

        budget = np.minimum(self.settings.num_visible, present.sum(1))
        rank = ranks(uniforms[0], present, num_tokens)
        share = np.repeat(shares, num_tokens, axis=1)
        if published:
            keys = (rank >= np.round(share * self.settings.num_visible)) + uniforms[1]
        else:
            keys = np.log(rank + 0.5) - np.log(np.maximum(share, 1e-300))
        flags = keep_smallest(keys, present, budget)
        visible = dict(zip(names, np.split(flags, np.cumsum(num_tokens)[:-1], axis=1), strict=True))
        return complete(layout, visible, self.settings.score, self.settings.in_place)

    def shares(self, stream: np.random.Generator, names: tuple[str, ...], there: np.ndarray) -> np.ndarray:
        """Shares of one sample, (fields,): they sum to 1 over the fields that are there and are 0 elsewhere."""
        import numpy as np

        chosen = np.flatnonzero(there)
        shares = np.zeros(len(names))
        if not len(chosen):
            return shares
        alpha, by_name = self.settings.alpha, self.settings.alphas()
        alphas = np.array([by_name.get(names[i], 1.0) if by_name else 1.0 for i in chosen])
        if isinstance(alpha, float):
            alphas = alphas * alpha
        if self.settings.subsets:
            picked = (stream.integers(1, 2 ** len(chosen)) >> np.arange(len(chosen))) & 1
            if self.settings.rounding == "published" and alpha != "inf":
                alphas = picked * alphas + SUBSET_ALPHA
            else:
                chosen, alphas = chosen[picked == 1], alphas[picked == 1]
        shares[chosen] = 1 / len(chosen) if alpha == "inf" else stream.dirichlet(alphas)
        return shares


def up_to_the_last(present: np.ndarray, num_tokens: list[int]) -> np.ndarray:
    """bool (B, N): the tokens of every field up to its last present one."""
    import numpy as np

    parts = np.split(present, np.cumsum(num_tokens)[:-1], axis=1)
    return np.concatenate([np.maximum.accumulate(part[:, ::-1], axis=1)[:, ::-1] for part in parts], axis=1)


def ranks(uniforms: np.ndarray, present: np.ndarray, num_tokens: list[int]) -> np.ndarray:
    """Rank (B, N) of every present token within its field, by random key; absent ones rank last."""
    import numpy as np

    result = np.empty(uniforms.shape, np.int64)
    start = 0
    for num in num_tokens:
        part = slice(start, start + num)
        order = np.argsort(np.where(present[:, part], uniforms[:, part], np.inf), axis=1, kind="stable")
        np.put_along_axis(result[:, part], order, np.arange(num)[None], axis=1)
        start += num
    return result
