"""SamplerCase: one mask sampler with a batch to try it on. Axes: B samples, N tokens of a field."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import Masking, MaskSampler
from maetoolkit.modalities.grid import GridModality
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import Geometry, Modality, ModalitySet
from maetoolkit.randomness import Draw, generator
from maetoolkit.testing.examples import Examples, plain_example
from maetoolkit.testing.law import code_of
from maetoolkit.tokens import Field, Patches

Budget = Callable[..., int]
"""`budget(there)` or `budget(there, progress)`: visible tokens of a sample, of `there` present ones by input."""

PROGRESS = (0.0, 0.5, 1.0)


def plain_modalities() -> ModalitySet:
    """Two inputs of 16 and 6 tokens, and an output that is not given."""
    tall, wide = RGB(size=(16,), patch=(4,), channels=1), RGB(size=(8, 12), patch=(4,), channels=1)
    return ModalitySet(tall=tall, wide=wide, output=RGB(size=(8,), patch=(4,), channels=1, role="target"))


@dataclass(frozen=True)
class SamplerCase:
    """A mask sampler under test.

    masking: what is tried; modalities: what it masks (two inputs and an output where None), with `examples` by entry
    for a sampler that looks at the content of entries that are no regular arrays;
    budget: the number of visible tokens that must be drawn, where it is fixed, see `Budget`;
    num_samples and seed: size and key of the batch, whose presence is random, by entry or, with `single`, by token;
    expected: laws that fail by design, each with the reason.
    """

    masking: Masking
    modalities: ModalitySet | None = None
    budget: Budget | None = None
    num_samples: int = 12
    seed: int = 0
    single: bool = False
    expected: Mapping[str, str] = field(default_factory=dict)
    examples: Mapping[str, Examples] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Python that makes this case again."""
        more = "" if self.modalities is None else ", modalities"
        return f"case = SamplerCase({code_of(self.masking)}{more}{', single=True' if self.single else ''})"

    @cached_property
    def entries(self) -> ModalitySet:
        """The modalities."""
        return self.modalities or plain_modalities()

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The samples' keys."""
        return tuple(f"sample {i}" for i in range(self.num_samples))

    @cached_property
    def fields(self) -> dict[str, Field]:
        """Fields of which sample 0 has all and sample 1 none."""
        fields = {}
        for name in self.entries.fields:
            whole = self.entries[name].collate([self._value(name, i) for i in range(self.num_samples)])
            num_tokens = self.entries[name].layout(whole)[1]
            shape = (self.num_samples, num_tokens) if self.single else (self.num_samples,)
            flags = generator("laws", self.seed, "presence", name).random(shape) < 0.6
            flags[0], flags[min(1, self.num_samples - 1)] = True, self.num_samples == 1
            present = torch.as_tensor(flags)
            if whole.present.ndim == 2 and bool(whole.present.any()):
                present = (present if self.single else present[:, None]) & whole.present
            fields[name] = replace(whole, present=present)
        return fields

    def _value(self, name: str, sample: int) -> np.ndarray | None:
        """A transformed value where one can be made up or is given, otherwise None, which collates to a blank."""
        modality: Modality = self.entries[name]
        draw = generator("laws", self.seed, "example", name, sample)
        if name in self.examples:
            return modality.transform(self.examples[name](draw, getattr(modality, "size", ())), Geometry())
        try:
            size = modality.extent(modality.size) if isinstance(modality, GridModality) else ()
            return modality.transform(plain_example(modality, draw, size), Geometry())
        except ValueError:  # geometry and presence are what most samplers look at
            return None

    @cached_property
    def layout(self) -> Layout:
        """What the sampler may know of the batch."""
        return Layout.of(self.entries, self.fields)

    @cached_property
    def patches(self) -> dict[str, Patches]:
        """What a sampler that needs content is given besides."""
        return self.cut(self.fields)

    def cut(self, fields: Mapping[str, Field]) -> dict[str, Patches]:
        """Prepared patches of fields."""
        return {name: self.entries[name].patchify(self.entries[name].prepare(one)) for name, one in fields.items()}

    def sampler(self) -> MaskSampler:
        """A new sampler, whose weights, where it has any, depend on the seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.masking.build_for(self.entries)

    def draw(self, samples: Sequence[int] | None = None) -> Draw:
        """The randomness of the given samples (all where None)."""
        chosen = range(self.num_samples) if samples is None else samples
        return Draw.of(self.seed, [self.keys[i] for i in chosen], [i % 3 for i in chosen])

    def plan(
        self, samples: list[int] | None = None, progress: float = 0.0, sampler: MaskSampler | None = None
    ) -> MaskPlan:
        """The plan of the given samples (all where None), drawn as one batch, by a new sampler where none is given."""
        fields = self.fields
        if samples is not None:
            fields = {n: Field(f.values[samples], f.present[samples]) for n, f in fields.items()}
        return self.drawn(Layout.of(self.entries, fields), fields, self.draw(samples), progress, sampler)

    def drawn(
        self,
        layout: Layout,
        fields: Mapping[str, Field],
        draw: Draw,
        progress: float = 0.0,
        sampler: MaskSampler | None = None,
    ) -> MaskPlan:
        """The plan of any batch."""
        sampler = sampler or self.sampler()
        with torch.no_grad():
            return sampler(layout, draw, progress, patches=self.cut(fields) if sampler.needs_content else None)

    def plans(self) -> Iterator[tuple[float, MaskPlan]]:
        """The plan of the whole batch at the beginning, in the middle and at the end of a run."""
        for progress in PROGRESS:
            yield progress, self.plan(progress=progress)

    def promised(self, there: Mapping[str, int], progress: float) -> int:
        """Visible tokens that the budget promises of those that are there."""
        assert self.budget is not None
        scheduled = len(inspect.signature(self.budget).parameters) > 1
        promised = self.budget(there, progress) if scheduled else self.budget(there)
        return min(promised, sum(there.values()))

    def losses(self, plan: MaskPlan) -> dict[str, Tensor]:
        """A loss per token (B, N) as `observe` is given: zero where nothing was predicted."""
        found = {}
        for name, flags in plan.target.items():
            numbers = generator("laws", self.seed, "loss", name).random(tuple(flags.shape), np.float32)
            found[name] = torch.from_numpy(numbers) * flags
        return found
