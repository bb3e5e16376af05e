"""Running all laws on one modality or sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maetoolkit.testing.alignment import alignment
from maetoolkit.testing.case import ModalityCase
from maetoolkit.testing.law import Law, Verdict, check
from maetoolkit.testing.leak import no_leak
from maetoolkit.testing.presence import presence
from maetoolkit.testing.roundtrip import round_trip
from maetoolkit.testing.samplers import (
    Budget,
    SamplerCase,
    budget,
    flags,
    keyed,
    masking_round_trip,
    present_only,
    targets,
)
from maetoolkit.testing.score import finite, optimum
from maetoolkit.testing.views import equivariance, picture

if TYPE_CHECKING:
    from maetoolkit.masking.sampler import Masking
    from maetoolkit.modality import Modality, ModalitySet
    from maetoolkit.testing.case import Examples

MODALITY_LAWS: tuple[Law[ModalityCase], ...] = (
    alignment,
    no_leak,
    presence,
    optimum,
    finite,
    round_trip,
    equivariance,
    picture,
)
SAMPLER_LAWS: tuple[Law[SamplerCase], ...] = (flags, present_only, targets, budget, keyed, masking_round_trip)


def check_modality(
    modality: Modality, *, source: Modality | None = None, examples: Examples | None = None, seed: int = 0
) -> list[Verdict]:
    """Try every law of modalities; see `ModalityCase` for what is needed. Raises LawError naming each broken one."""
    return check(MODALITY_LAWS, ModalityCase(modality, source, examples, seed))


def check_sampler(
    masking: Masking, *, modalities: ModalitySet | None = None, budget: Budget | None = None, seed: int = 0
) -> list[Verdict]:
    """Try every law of samplers; see `SamplerCase` for what is needed. Raises LawError naming each broken one."""
    verdicts = check(SAMPLER_LAWS, SamplerCase(masking, modalities, budget, seed=seed))
    check(SAMPLER_LAWS, SamplerCase(masking, modalities, budget, seed=seed, single=True))
    return verdicts
