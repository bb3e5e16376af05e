"""DecoderCase: one decoder with a mixed batch and a made-up latent. Axes: B samples, N tokens of a field, D width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.route import Route, Router
from maetoolkit.masking.sampler import Masking, complete
from maetoolkit.masking.share import Share
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.model.decoder import DecoderDescription
from maetoolkit.model.positions import spread
from maetoolkit.randomness import generator
from maetoolkit.testing.law import code_of
from maetoolkit.testing.sequence import Numbers
from maetoolkit.tokens import Field, Packed, Patches

NUM_SAMPLES, NUM_GLOBALS = 6, 2
IDLE = 4  # the sample that has nothing to predict
PRESENT = {  # of six samples: all, one entry each, pairs
    "picture": (1, 1, 0, 1, 1, 0),
    "numbers": (1, 0, 1, 0, 1, 0),
    "wide": (1, 0, 0, 1, 1, 1),
    "output": (1, 0, 1, 1, 1, 0),
}


def mixed_modalities(only_inputs: bool) -> ModalitySet:
    """Two pictures on different grids, a ragged row of numbers, and an output that is not given."""
    picture, wide = RGB(size=(8,), patch=(4,), channels=1), RGB(size=(8, 12), patch=(4,), channels=1)
    entries = {"picture": picture, "numbers": Numbers(), "wide": wide}
    return ModalitySet(**entries) if only_inputs else ModalitySet(**entries, output=picture.replace(role="target"))


@dataclass(frozen=True)
class DecoderCase:
    """A decoder under test, with a latent of its own making: no encoder is involved.

    description: what is tried; encoder_dim: width of the latent, which its modalities' positions must allow;
    masking: what hides tokens (half of them, in place where the decoder needs that); seed: keys everything;
    expected: laws that fail by design, each with the reason.
    """

    description: DecoderDescription
    masking: Masking | None = None
    encoder_dim: int = 24
    seed: int = 0
    expected: Mapping[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Python that makes this case again."""
        return f"case = DecoderCase({code_of(self.description)})"

    @cached_property
    def setting(self) -> tuple[ModalitySet, Masking]:
        """Modalities and a masking that this decoder takes: first with an output that is not given, then without."""
        refused: ValueError | None = None
        maskings = (Share(ratio=0.5), Share(ratio=0.5, in_place=True)) if self.masking is None else (self.masking,)
        for masking in maskings:
            for only_inputs in (False, True):
                modalities = mixed_modalities(only_inputs)
                try:
                    self.description.check_masking(modalities, masking)
                    return modalities, masking
                except ValueError as error:
                    refused = error
        raise ValueError(f"the decoder takes none of the settings it could be tried in: {refused}")

    @property
    def modalities(self) -> ModalitySet:
        """What is decoded."""
        return self.setting[0]

    def random(self, *purpose: int | str) -> np.random.Generator:
        """The numbers for one purpose."""
        return generator("laws", self.seed, *purpose)

    @cached_property
    def fields(self) -> dict[str, Field]:
        """Six samples with other entries each."""
        fields = {}
        for name in self.modalities.fields:
            values: list[np.ndarray | None] = []
            for sample, there in enumerate(PRESENT[name]):
                draw, shape = self.random(name, sample), getattr(self.modalities[name], "shape", None)
                made = draw.integers(7, size=1 + sample) if shape is None else draw.random(shape, np.float32)
                values.append(made[:5] if there else None)
            fields[name] = self.modalities[name].collate(values)
        return fields

    @cached_property
    def layout(self) -> Layout:
        """What is there."""
        return Layout.of(self.modalities, self.fields)

    @cached_property
    def patches(self) -> dict[str, Patches]:
        """All tokens of all samples."""
        return {n: self.modalities[n].patchify(self.modalities[n].prepare(f)) for n, f in self.fields.items()}

    def plan(self, share: float = 0.5, score: str = "masked") -> MaskPlan:
        """Random visible tokens; one sample has nothing to predict."""
        present, draw = self.layout.present, self.random("plan")
        visible = {n: present[n] & (draw.random(present[n].shape) < share) for n in self.layout.inputs}
        plan = complete(self.layout, visible, score, self.setting[1].uses_mask_tokens)  # type: ignore[arg-type]
        return without_targets(plan, [IDLE])

    @cached_property
    def router(self) -> Router:
        """Turns plans into routes for this decoder."""
        stacks = self.description.stacks(self.modalities.outputs)
        return Router(
            self.modalities.inputs, self.modalities.sources, NUM_GLOBALS, stacks, self.description.with_globals
        )

    def decoder(self) -> nn.Module:
        """The module, with weights that depend on the seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.description.build(self.modalities, self.encoder_dim)

    @cached_property
    def table(self) -> dict[str, Tensor]:
        """What the encoder might have made of every token (B, N, D), and of the global tokens, by the name ""."""
        sizes = {"": NUM_GLOBALS, **{n: self.patches[n].num_tokens for n in self.modalities.inputs}}
        shapes = {name: (NUM_SAMPLES, num, self.encoder_dim) for name, num in sizes.items()}
        return {n: torch.as_tensor(self.random("latent", n).standard_normal(s, np.float32)) for n, s in shapes.items()}

    def latent(self, route: Route, table: Mapping[str, Tensor] | None = None) -> Packed:
        """The latent of the tokens that enter the encoder."""
        table = table or self.table
        parts = [table[""].flatten(0, 1)]
        parts += [table[name].flatten(0, 1).index_select(0, route.kept[name]) for name in self.modalities.inputs]
        return Packed(torch.cat(parts).index_select(0, route.order), route.segments)

    def features(
        self, plan: MaskPlan, decoder: nn.Module | None = None, patches: Mapping[str, Patches] | None = None
    ) -> dict[str, Tensor]:
        """What the decoder makes of a plan, one row per target token of every output."""
        route = self.router(plan)
        decoder = decoder or self.decoder().eval()
        found: dict[str, Tensor] = decoder(self.latent(route), patches or self.patches, route)
        return found

    def placed(self, features: Mapping[str, Tensor], route: Route) -> dict[str, Tensor]:
        """Features (B, N, dim) in the places of their tokens, zero elsewhere."""
        sources = self.modalities.sources
        num = {name: self.patches[sources[name]].num_tokens for name in features}
        shapes = {name: (route.num_samples, num[name]) for name in features}
        return {name: spread(rows, route.target[name], shapes[name]) for name, rows in features.items()}


def without_targets(plan: MaskPlan, samples: list[int]) -> MaskPlan:
    """The same plan with nothing to predict in some samples."""
    target = {name: flags.clone() for name, flags in plan.target.items()}
    for flags in target.values():
        flags[samples] = False
    return replace(plan, target=target)


def only(plan: MaskPlan, sample: int) -> MaskPlan:
    """The plan of one sample."""
    rows = slice(sample, sample + 1)
    visible, target, in_place, content = (
        {n: flags[rows] for n, flags in one.items()} for one in (plan.visible, plan.target, plan.in_place, plan.content)
    )
    return MaskPlan(visible, target, in_place, content)
