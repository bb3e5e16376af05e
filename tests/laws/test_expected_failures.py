"""A law that fails by design is declared, with the reason; the declaration must be true."""

from __future__ import annotations

import re

import pytest
from seeded_modalities import DrawsReals, OtherIdeal, Small
from seeded_samplers import Halves

from maetoolkit.testing import MODALITY_LAWS, LawError, ModalityCase, check_modality, check_sampler

LAWS = {law.name: law for law in MODALITY_LAWS}


class Twice(DrawsReals, OtherIdeal):
    """Breaks two laws."""


def test_checking_all_laws_names_every_broken_one_with_its_reason() -> None:
    with pytest.raises(LawError) as caught:
        check_modality(Twice())
    message = str(caught.value)
    assert message.startswith(f"2 of {len(LAWS)} laws are broken")
    assert "alignment: holds" in message
    assert "optimum: BROKEN" in message
    assert "\npicture: The picture of a truth" in message


def test_a_message_says_what_is_asked_why_what_was_found_and_how_to_see_it() -> None:
    with pytest.raises(LawError) as caught:
        LAWS["optimum"](ModalityCase(OtherIdeal(), seed=1))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("optimum: No prediction scores better than `ideal(target)`")
    assert lines[1] == "  Why: Otherwise training converges to something else than the truth."
    assert re.match(r"  Found: .* scores [\d.e-]+, the ideal prediction [\d.e-]+$", lines[2])
    assert lines[3] == "  See it: case = ModalityCase(OtherIdeal(), seed=1)"


@pytest.mark.parametrize("name", ["alignment", "position", "no leak", "alone", "round trip", "equivariance", "picture"])
def test_what_a_message_says_to_type_runs(name: str) -> None:
    import torch

    code = LAWS[name].see
    assert len(code.splitlines()) <= 3
    from maetoolkit.modality import Geometry

    exec(code, {"case": ModalityCase(Small()), "torch": torch, "Geometry": Geometry})


def test_declared_failures_are_shown_with_their_reason_and_the_rest_is_still_checked() -> None:
    with pytest.raises(LawError, match=f"1 of {len(LAWS)} laws are broken .*fails as declared"):
        check_modality(Twice(), expected={"optimum": "biased on purpose"})


def test_one_law_by_itself_knows_declarations_too() -> None:
    verdict = LAWS["optimum"](ModalityCase(OtherIdeal(), expected={"optimum": "biased on purpose"}))
    assert str(verdict) == "optimum: fails as declared (biased on purpose)"
    assert "the ideal prediction" in verdict.detail
    assert verdict.held is False
    assert verdict.fine


@pytest.mark.parametrize(("name", "found"), [("optimum", "but holds"), ("equivariance", "but holds")])
def test_a_declared_law_that_holds_is_an_error(name: str, found: str) -> None:
    with pytest.raises(LawError, match=rf"the law is declared to fail, {found}; remove it from `expected`"):
        LAWS[name](ModalityCase(Small(), expected={name: "so I thought"}))


def test_a_declared_law_that_does_not_apply_is_an_error() -> None:
    with pytest.raises(LawError, match="but does not apply here; remove it from `expected`"):
        check_sampler(Halves(), expected={"budget": "so I thought"})


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (
            {"no leaks": "x"},
            "expected: there is no law 'no leaks'; did you mean 'no leak'? laws are: alignment, position",
        ),
        ({"no leak": ""}, "expected: say why the law 'no leak' must fail here"),
    ],
)
def test_declarations_are_checked(expected: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_modality(Small(), expected=expected)
