"""The kit catches what it claims: every law is broken by something; the message says which, why and how to see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import seeded_decoders
import seeded_losses as s
import seeded_modalities as m
import seeded_modalities_too as n
import seeded_samplers
import seeded_sources
import seeded_targets
from irregular import Spectra, cloud, spectrum
from torch import Tensor

from maetoolkit.modality import Modality
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import DecoderDescription
from maetoolkit.testing import (
    DECODER_LAWS,
    MODALITY_LAWS,
    SAMPLER_LAWS,
    SOURCE_LAWS,
    TARGET_LAWS,
    DecoderCase,
    Law,
    LawError,
    ModalityCase,
    SamplerCase,
    SourceCase,
    TargetCase,
)
from maetoolkit.testing.case import DECODERS
from maetoolkit.testing.examples import Examples
from maetoolkit.testing.sequence import numbers
from maetoolkit.tokens import Patches

MODALITIES: list[tuple[str, type, str, Examples | None]] = [
    ("alignment", m.LosesTokens, "expected (B, num_tokens, *content)", None),
    ("alignment", m.ShufflesTokens, "not what was cut", None),
    ("alignment", m.OneLoss, "`token_loss` sum of shape ()", None),
    ("alignment", m.AveragedLoss, "do not move with their tokens", None),
    ("alignment", m.CountsOtherwise, "`token_count` differs", None),
    ("alignment", m.ForgetsAbsence, "it must mark exactly what is None", None),
    ("alignment", m.Crashes, "RuntimeError: out of luck", None),
    ("alignment", n.NarrowHead, "`to_values` of shape", None),
    ("alignment", n.IntegerZero, "must be float32, found torch.int64", None),
    ("alignment", n.SaysTheLongest, "`layout`", numbers),
    ("position", n.NumbersItsTokens, "positions have 1 axes", None),
    ("position", n.SwapsAxes, "its position says", None),
    ("position", n.OnePlaceForAll, "1 different positions", None),
    ("position", n.PlacesInTurn, "do not go by the coordinates", None),
    ("no leak", m.BlendsPatches, "part of 2 patches", None),
    ("no leak", m.LooksAround, "other tokens", None),
    ("no leak", n.Convolves, "other tokens", None),
    ("no leak", n.NormalisesOverTheBatch, "other tokens while training", None),
    ("presence", m.BatchStatistics, "when the values of absent entries become", None),
    ("alone", m.BatchStatistics, "differ alone and in a batch", None),
    ("alone", n.PadsWithData, "tokens in a batch and", numbers),
    ("alone", n.CountsFromTheEnd, "positions of sample", numbers),
    ("optimum", m.OtherIdeal, "the ideal prediction", None),
    ("optimum", m.RewardsSize, "the ideal prediction", None),
    ("optimum", m.IgnoresValidity, "not `valid` count", None),
    ("optimum", s.LearnsNothing, "has no gradient in any prediction", None),
    ("optimum", s.Detaches, "has no gradient in the prediction", None),
    ("optimum", s.LearnsTheOpposite, "a small step against the gradient does not lower the loss", None),
    ("optimum", s.LearnsOneToken, "the loss of 11 of 12 tokens has no gradient", None),
    ("optimum", s.DoublesItsPictures, "`to_values` of the ideal prediction gives", None),
    ("optimum", s.NextLabel, "`to_values` of the ideal prediction gives", numbers),
    ("optimum", s.MovesItsPoints, "`to_values` of the ideal prediction gives", cloud),
    ("optimum", s.OtherCodes, "`to_values` of the ideal prediction gives", None),
    ("optimum", s.SureOfAll, "expected numbers in [0, 1]", None),
    ("optimum", s.SurePerChannel, "`confidence` has shape (12, 2)", None),
    ("finite", m.DividesByNothing, "no valid element", None),
    ("finite", m.DividesByDeviation, "all values 0", None),
    ("finite", n.KeepsNaN, "loss nan with ordinary values", n.measured_in_part),
    ("pure", n.WritesIntoTheBatch, "`prepare` changes what it is given", None),
    ("pure", n.DrawsGlobally, "`transform` in training moves numpy's", None),
    ("pure", n.Remembers, "`transform` in evaluation", None),
    ("pure", m.WritesIntoItsInput, "`transform` in evaluation changes what it is given", None),
    ("round trip", m.RandomHead, "outside the state dict", None),
    ("round trip", m.KeepsAList, "unhashable", None),
    ("equivariance", m.NeverFlips, "after a flip", None),
    ("equivariance", m.FlipsUpsideDown, "after a flip", None),
    ("equivariance", m.FlipsWithAShift, "after a flip", None),
    ("equivariance", m.BrightensFlips, "flipping twice", None),
    ("equivariance", m.NeverCrops, "not what stood inside", None),
    ("picture", m.DrawsReals, "not uint8", None),
    ("picture", m.DrawsChannelsFirst, "not (H, W, 3)", None),
]


def caught(laws: tuple[Law[Any], ...], name: str, case: object, found: str) -> str:
    """The message of a law that must be broken."""
    law = {each.name: each for each in laws}[name]
    with pytest.raises(LawError) as error:
        law(case)
    message = str(error.value)
    assert message.startswith(f"{name}: {law.says}\n  Why: {law.why}\n  Found: ")
    assert f"\n  See it: case = {type(case).__mro__[-2].__name__}(" in message
    assert found in message
    return message


@pytest.mark.parametrize(
    ("law", "modality", "found", "examples"),
    MODALITIES,
    ids=[f"{law}: {kind.__name__}" for law, kind, *_ in MODALITIES],
)
def test_modalities_are_caught(law: str, modality: type, found: str, examples: Examples | None) -> None:
    caught(MODALITY_LAWS, law, ModalityCase(modality(), examples=examples), found)


def test_pictures_that_are_still_standardised_are_caught() -> None:
    case = ModalityCase(s.ForgetsTheSpread(), source=m.Small())
    caught(MODALITY_LAWS, "optimum", case, "`to_values` of the ideal prediction")


@pytest.mark.parametrize(
    ("modality", "examples"), [(s.TurnsItsPoints(), cloud), (s.Codes(), None)], ids=["set", "codes"]
)
def test_targets_that_hold_less_than_the_values_are_no_bug(modality: Modality, examples: Examples | None) -> None:
    case = ModalityCase(modality, examples=examples)
    assert all(law(case).held is not False for law in MODALITY_LAWS)


@pytest.mark.parametrize(
    ("law", "wrong", "found", "more"), seeded_samplers.BROKEN, ids=[f"{b[0]}: {b[1]}" for b in seeded_samplers.BROKEN]
)
def test_samplers_are_caught(law: str, wrong: str, found: str, more: dict[str, bool]) -> None:
    single = more.get("single", False)
    settings = {key: value for key, value in more.items() if key != "single"}
    case = SamplerCase(seeded_samplers.Halves(wrong=wrong, **settings), budget=lambda there: 5, single=single)
    caught(SAMPLER_LAWS, law, case, found)


@pytest.mark.parametrize(
    ("law", "wrong", "found"), seeded_decoders.BROKEN, ids=[f"{b[0]}: {b[1]}" for b in seeded_decoders.BROKEN]
)
def test_decoders_are_caught(law: str, wrong: str, found: str) -> None:
    caught(DECODER_LAWS, law, DecoderCase(seeded_decoders.Careless(wrong=wrong)), found)


def removing(root: Path) -> Callable[[str, str], Callable[[], None]]:
    def remove(key: str, entry: str) -> Callable[[], None]:
        file = root / entry / f"{key}.npy"
        data = file.read_bytes()
        file.unlink()
        return lambda: file.write_bytes(data) and None  # type: ignore[func-returns-value]

    return remove


@pytest.mark.parametrize(
    ("law", "wrong", "found"), seeded_sources.BROKEN, ids=[f"{b[0]}: {b[1]}" for b in seeded_sources.BROKEN]
)
def test_sources_are_caught(law: str, wrong: str, found: str, tmp_path: Path) -> None:
    seeded_sources.write(tmp_path)
    modalities = seeded_sources.MODALITIES.only(["near"]) if wrong == "all entries" else seeded_sources.MODALITIES
    source = seeded_sources.Arrays(root=str(tmp_path), wrong=wrong)
    caught(SOURCE_LAWS, law, SourceCase(source, modalities, remove=removing(tmp_path)), found)


@pytest.mark.parametrize(
    ("law", "wrong", "found"), seeded_targets.BROKEN, ids=[f"{b[0]}: {b[1]}" for b in seeded_targets.BROKEN]
)
def test_targets_are_caught(law: str, wrong: str, found: str) -> None:
    caught(TARGET_LAWS, law, TargetCase(seeded_targets.Projection(wrong=wrong)), found)


def test_settings_that_are_not_written_are_caught(tmp_path: Path) -> None:
    seeded_sources.write(tmp_path)
    source = seeded_sources.Arrays(root=str(tmp_path), unwritten="x")
    found = "after plain values the description is"
    caught(MODALITY_LAWS, "round trip", ModalityCase(m.HidesASetting(secret=1)), found)
    caught(SAMPLER_LAWS, "round trip", SamplerCase(seeded_samplers.Halves(unwritten=1)), found)
    caught(SOURCE_LAWS, "round trip", SourceCase(source, seeded_sources.MODALITIES), found)


class LeakyCase(ModalityCase):
    """Its models add what is hidden to their features."""

    def model(self, decoder: DecoderDescription = DECODERS[0], ratio: float = 0.5) -> MaskedAutoencoder:
        model = super().model(decoder, ratio)
        honest = model.decoder.forward

        def leaky(latent: object, patches: dict[str, Patches], route: object) -> dict[str, Tensor]:
            return {n: f + 1e-3 * patches[self.entry].values.mean() for n, f in honest(latent, patches, route).items()}

        model.decoder.forward = leaky  # type: ignore[method-assign]
        return model


def test_predictions_that_see_hidden_patches_are_caught() -> None:
    found = "change with the content of hidden patches"
    caught(MODALITY_LAWS, "no leak", LeakyCase(m.Small()), found)


class MeansOverPadding(Spectra):
    def prepare(self, field):  # type: ignore[no-untyped-def]
        centred = field.values - field.values.mean((1, 2), keepdim=True)
        return replace(field, values=centred)


@pytest.mark.parametrize("law", ["presence", "alone"])
def test_statistics_over_padding_are_caught(law: str) -> None:
    caught(MODALITY_LAWS, law, ModalityCase(MeansOverPadding(), examples=spectrum), "")


def test_every_law_is_shown_to_fail() -> None:
    for laws, broken in (
        (MODALITY_LAWS, MODALITIES),
        (SAMPLER_LAWS, seeded_samplers.BROKEN),
        (DECODER_LAWS, seeded_decoders.BROKEN),
        (SOURCE_LAWS, [*seeded_sources.BROKEN, ("round trip",)]),
        (TARGET_LAWS, seeded_targets.BROKEN),
    ):
        assert {law.name for law in laws} == {bug[0] for bug in broken}
