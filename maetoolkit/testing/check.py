"""Running all laws on one modality, sampler, decoder, data source or target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from maetoolkit.testing.alignment import alignment
from maetoolkit.testing.alone import alone
from maetoolkit.testing.case import ModalityCase
from maetoolkit.testing.decoder_case import DecoderCase
from maetoolkit.testing.decoders import (
    cost,
    decoder_round_trip,
    finite_features,
    no_hidden_values,
    order,
    reads_the_latent,
    samples_alone,
    shape,
)
from maetoolkit.testing.finite import finite
from maetoolkit.testing.law import Law, Verdict, check
from maetoolkit.testing.leak import no_leak
from maetoolkit.testing.optimum import optimum
from maetoolkit.testing.picture import picture
from maetoolkit.testing.position import position
from maetoolkit.testing.presence import presence
from maetoolkit.testing.pure import pure
from maetoolkit.testing.roundtrip import round_trip
from maetoolkit.testing.sampler_case import Budget, SamplerCase
from maetoolkit.testing.sampler_keys import feedback, keyed, masking_round_trip, padding
from maetoolkit.testing.samplers import budget, flags, in_place, present_only, targets
from maetoolkit.testing.source_case import SourceCase
from maetoolkit.testing.source_reads import order as sample_order
from maetoolkit.testing.source_reads import reading_is_pure, source_round_trip, workers
from maetoolkit.testing.sources import joined_by_key, keys, subset, values
from maetoolkit.testing.targets import TargetCase, apart, features, pure_features, target_round_trip
from maetoolkit.testing.views import equivariance

if TYPE_CHECKING:
    from torch import Tensor

    from maetoolkit.data.source import Source, Subset
    from maetoolkit.masking.sampler import Masking
    from maetoolkit.modality import Modality, ModalitySet
    from maetoolkit.model.decoder import DecoderDescription
    from maetoolkit.model.target import TargetDescription
    from maetoolkit.testing.examples import Examples
    from maetoolkit.testing.source_case import Remove, Truth

Case = ModalityCase | SamplerCase | DecoderCase | SourceCase | TargetCase
Expected = Mapping[str, str] | None

MODALITY_LAWS: tuple[Law[ModalityCase], ...] = (
    alignment,
    position,
    no_leak,
    presence,
    alone,
    optimum,
    finite,
    pure,
    round_trip,
    equivariance,
    picture,
)
SAMPLER_LAWS: tuple[Law[SamplerCase], ...] = (
    flags,
    present_only,
    in_place,
    targets,
    budget,
    keyed,
    padding,
    feedback,
    masking_round_trip,
)
DECODER_LAWS: tuple[Law[DecoderCase], ...] = (
    shape,
    order,
    no_hidden_values,
    samples_alone,
    reads_the_latent,
    finite_features,
    cost,
    decoder_round_trip,
)
SOURCE_LAWS: tuple[Law[SourceCase], ...] = (
    keys,
    values,
    joined_by_key,
    subset,
    reading_is_pure,
    workers,
    sample_order,
    source_round_trip,
)
TARGET_LAWS: tuple[Law[TargetCase], ...] = (features, pure_features, apart, target_round_trip)

LAWS: Mapping[type, tuple[Law[Any], ...]] = {
    ModalityCase: MODALITY_LAWS,
    SamplerCase: SAMPLER_LAWS,
    DecoderCase: DECODER_LAWS,
    SourceCase: SOURCE_LAWS,
    TargetCase: TARGET_LAWS,
}
"""The laws by the kind of case they try."""


def check_modality(
    modality: Modality,
    *,
    source: Modality | None = None,
    examples: Examples | None = None,
    seed: int = 0,
    expected: Expected = None,
) -> list[Verdict]:
    """Try every law of modalities; see `ModalityCase` for what is needed. Raises LawError naming each broken one."""
    return check(MODALITY_LAWS, ModalityCase(modality, source, examples, seed, expected or {}))


def check_sampler(
    masking: Masking,
    *,
    modalities: ModalitySet | None = None,
    budget: Budget | None = None,
    examples: Mapping[str, Examples] | None = None,
    seed: int = 0,
    expected: Expected = None,
) -> list[Verdict]:
    """Try every law of samplers, with whole entries absent and with single tokens; see `SamplerCase` for what it needs.

    Raises LawError naming each broken one.
    """
    case = SamplerCase(masking, modalities, budget, seed=seed, expected=expected or {}, examples=examples or {})
    verdicts = check(SAMPLER_LAWS, case)
    check(SAMPLER_LAWS, replace(case, single=True))
    return verdicts


def check_decoder(
    description: DecoderDescription,
    *,
    masking: Masking | None = None,
    encoder_dim: int = 24,
    seed: int = 0,
    expected: Expected = None,
) -> list[Verdict]:
    """Try every law of decoders; see `DecoderCase` for what is needed. Raises LawError naming each broken one."""
    return check(DECODER_LAWS, DecoderCase(description, masking, encoder_dim, seed, expected or {}))


def check_source(
    description: Source,
    modalities: ModalitySet,
    *,
    subset: Subset = "train",
    remove: Remove | None = None,
    truth: Truth | None = None,
    most: int = 8,
    seed: int = 0,
    expected: Expected = None,
) -> list[Verdict]:
    """Try every law of data sources; see `SourceCase` for what is needed. Raises LawError naming each broken one."""
    return check(SOURCE_LAWS, SourceCase(description, modalities, subset, remove, truth, most, seed, expected or {}))


def check_target(
    description: TargetDescription,
    *,
    entry: Modality | None = None,
    values: Tensor | None = None,
    seed: int = 0,
    expected: Expected = None,
) -> list[Verdict]:
    """Try every law of targets; see `TargetCase` for what is needed. Raises LawError naming each broken one."""
    return check(TARGET_LAWS, TargetCase(description, entry, values, seed, expected or {}))
