"""`check_plugin` tries everything that an installed plugin offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import seeded_modalities as m
import seeded_samplers
import seeded_sources

from maetoolkit.errors import ConfigError
from maetoolkit.plugins import Plugin, Registry
from maetoolkit.testing import LAWS, ModalityCase, SamplerCase, Verdict, check_plugin, plugin
from maetoolkit.testing.sequence import Numbers, numbers


def offering(monkeypatch: pytest.MonkeyPatch, **offers: Mapping[str, Any]) -> None:
    """One plugin, as if it were installed."""
    found = Registry([Plugin("small", "maetoolkit-small", "1.0", "loaded", "", offers)])
    monkeypatch.setattr(plugin, "registry", lambda: found)


def states(verdicts: list[Verdict]) -> dict[str, bool | None]:
    return {verdict.law: verdict.held for verdict in verdicts}


@pytest.fixture
def few_laws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The laws of one kind are enough to see who is tried with them."""
    few = {kind: tuple(law for law in laws if law.name in ("optimum", "flags")) for kind, laws in LAWS.items()}
    monkeypatch.setattr(plugin, "LAWS", few)


def test_what_no_case_is_about_is_tried_as_it_is_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    offering(monkeypatch, modalities={"small": m.Small}, samplers={"halves": seeded_samplers.Halves})
    tried = dict(check_plugin("maetoolkit-small"))
    assert set(tried) == {"modalities.small", "samplers.halves", "samplers.halves (single tokens absent)"}
    assert all(verdict.fine for verdicts in tried.values() for verdict in verdicts)
    assert len(tried["modalities.small"]) == 11


@pytest.mark.usefixtures("few_laws")
def test_cases_are_tried_in_place_of_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"optimum": "biased on purpose"}
    cases = {
        "words": lambda: ModalityCase(Numbers(), examples=numbers),
        "biased": lambda: ModalityCase(m.OtherIdeal(), expected=expected),
        "half": lambda: SamplerCase(seeded_samplers.Halves(), single=True),
    }
    kinds = {"modalities": {"numbers": Numbers, "small": m.OtherIdeal}, "samplers": {"halves": seeded_samplers.Halves}}
    offering(monkeypatch, cases=cases, **kinds)
    tried = dict(check_plugin("small", seed=3))
    assert set(tried) == {"words", "biased", "half"}
    assert all(verdict.fine for verdicts in tried.values() for verdict in verdicts)
    assert "optimum: fails as declared (biased on purpose)" in map(str, tried["biased"])


@pytest.mark.usefixtures("few_laws")
def test_broken_laws_are_verdicts_with_their_message(monkeypatch: pytest.MonkeyPatch) -> None:
    offering(monkeypatch, modalities={"small": m.OtherIdeal})
    ((label, verdicts),) = check_plugin("small")
    (broken,) = (verdict for verdict in verdicts if not verdict.fine)
    assert (label, broken.law) == ("modalities.small", "optimum")
    assert "Found: " in broken.detail


def test_what_cannot_be_tried_without_a_case_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    offering(monkeypatch, modalities={"numbers": Numbers}, sources={"arrays": seeded_sources.Arrays})
    tried = dict(check_plugin("small"))
    assert states(tried["modalities.numbers"]) == states(tried["sources.arrays"]) == {"case": None}
    assert "state a case in `maetoolkit_cases` (cannot make up values of Numbers" in str(tried["modalities.numbers"][0])


@pytest.mark.usefixtures("few_laws")
def test_cases_that_cannot_be_made_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {
        "crash": lambda: 1 / 0,
        "nothing": lambda: None,
        "typo": lambda: ModalityCase(m.Small(), expected={"optimums": "x"}),
    }
    offering(monkeypatch, cases=cases)
    messages = {label: verdicts[0].detail for label, verdicts in check_plugin("small") if not verdicts[0].fine}
    assert messages["crash"] == "maetoolkit_cases['crash']() failed: ZeroDivisionError: division by zero"
    assert messages["nothing"].startswith("maetoolkit_cases['nothing']() gave NoneType; expected one of ModalityCase,")
    assert "did you mean 'optimum'?" in messages["typo"]


def test_a_plugin_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    offering(monkeypatch)
    with pytest.raises(ConfigError, match="no plugin 'smal' is installed; did you mean 'small'"):
        check_plugin("smal")
    broken = Registry([Plugin("small", "maetoolkit-small", "1.0", "broken", "ImportError: no such thing")])
    monkeypatch.setattr(plugin, "registry", lambda: broken)
    with pytest.raises(ConfigError, match=r"plugin 'small' \(maetoolkit-small 1.0\) is broken: ImportError"):
        check_plugin("small")
