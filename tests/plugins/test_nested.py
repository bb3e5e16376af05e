from __future__ import annotations

from typing import Annotated, Literal

import pytest
from plugin_entries import Entry, module  # type: ignore[import-not-found]
from pydantic import ValidationError

from maetoolkit.description import Description
from maetoolkit.errors import ConfigError
from maetoolkit.masking.sampler import Masking, MaskSampler
from maetoolkit.masking.share import Share
from maetoolkit.modalities.image import RGB
from maetoolkit.plugins import Nested, load, nested
from maetoolkit.train.check import checked
from maetoolkit.train.recipe import load_recipe, recipe_type
from maetoolkit.train.resolve import resolve


class Slow(Masking):
    """A sampler in a sampler, and a list of weighted ones."""

    type: Literal["slow"] = "slow"
    masking: nested("samplers") = Share()  # type: ignore[valid-type]
    after: Annotated[Masking, Nested("samplers")] | None = None
    parts: tuple[Part, ...] = ()

    def build(self) -> MaskSampler:
        return self.masking.build()


class Part(Description):
    masking: nested("samplers")  # type: ignore[valid-type]
    weight: float = 1.0


Slow.model_rebuild()
KNOWN = load([Entry("slow", lambda: module(maetoolkit_samplers=lambda: {"slow": Slow}))])
BASE = {"steps": 1, "modalities": {"rgb": {"type": "rgb", "size": 32}}}


def recipe(masking, *overrides, decoder="cross"):
    settings = {**BASE, "masking": {"type": "slow", **masking}}
    return checked(resolve(settings, overrides, KNOWN), KNOWN)


def test_a_nested_description_is_found_by_its_type_and_written_with_its_own_fields():
    slow = recipe({"masking": {"type": "share", "ratio": 0.5}, "parts": [{"masking": {"type": "dirichlet"}}]}).masking
    assert slow.masking == Share(ratio=0.5)
    assert type(slow.parts[0].masking).__name__ == "Dirichlet"
    written = slow.model_dump(mode="json")
    assert written["masking"]["type"] == "share"
    assert written["masking"]["ratio"] == 0.5
    assert "num_visible" in written["parts"][0]["masking"]
    assert Slow.model_validate(written) == slow
    assert hash(Slow.model_validate(written)) == hash(slow)
    assert slow.replace(masking=Share(ratio=0.25)).masking.ratio == 0.25
    assert '"ratio":0.5' in slow.model_dump_json()


def test_a_plugins_description_may_be_nested_in_itself():
    slow = recipe({"masking": {"type": "slow", "masking": {"type": "share", "ratio": 0.125}}}).masking
    assert slow.masking.masking.ratio == 0.125


def test_a_recipe_with_nested_descriptions_survives_yaml(tmp_path):
    first = recipe({"masking": {"type": "slow"}, "after": {"type": "share", "ratio": 0.5}})
    (tmp_path / "recipe.yaml").write_text(first.yaml())
    again = checked(resolve(tmp_path / "recipe.yaml", [], KNOWN), KNOWN)
    assert again == first
    assert again.masking.after.ratio == 0.5


@pytest.mark.parametrize(
    ("masking", "message"),
    [
        ({"masking": {"type": "share", "ratio": 2}}, "masking.masking.ratio: found 2; expected a number"),
        ({"masking": {"type": "share", "ration": 0.5}}, "masking.masking.ration: unknown key; did you mean ratio?"),
        ({"masking": {"type": "shar"}}, "masking.masking.type: unknown sampler 'shar'; did you mean 'share'?"),
        ({"masking": {"ratio": 0.5}}, "masking.masking.type: missing; expected one of share, dirichlet"),
        ({"masking": 3}, "masking.masking: found 3; expected a mapping with a `type`"),
        (
            {"parts": [{"masking": {"type": "share", "ratio": "x"}}]},
            'masking.parts.0.masking.ratio: found "x"',
        ),
        ({"parts": [{"maskin": {"type": "share"}}]}, "masking.parts.0.maskin: unknown key; did you mean masking?"),
        (
            {"after": {"type": "slow", "masking": {"type": "share", "ratio": -1}}},
            "after.masking.ratio: found -1",
        ),
        ({"masking": {"type": "share", "score": 3}}, "masking.masking.score: found 3; expected masked or all"),
    ],
)
def test_errors_in_nested_descriptions_carry_the_dotted_path(masking, message):
    with pytest.raises(ConfigError) as caught:
        recipe(masking)
    assert message in str(caught.value)
    assert str(caught.value).startswith("masking.")


def test_changing_a_nested_type_drops_the_settings_that_are_not_its_own():
    changed = recipe({"masking": {"type": "share", "ratio": 0.5}}, "masking.masking.type=dirichlet").masking
    assert changed.masking.type == "dirichlet"
    assert recipe({"after": {"type": "share"}}, "masking.after.ratio=0.25").masking.after.ratio == 0.25


def test_only_descriptions_of_the_kind_are_taken():
    with pytest.raises(ValidationError, match="found RGB; expected a sampler"):
        Slow(masking=RGB())
    assert Slow(masking=Share(ratio=0.5)).masking.ratio == 0.5
    with pytest.raises(ValidationError, match="unknown sampler 'slow'"):  # not installed, so only KNOWN has it
        Slow(masking={"type": "slow"})


def test_a_kind_that_does_not_exist_is_refused_where_the_field_is_written():
    with pytest.raises(ValueError, match="there is no kind 'sampler' of descriptions; kinds are: modalities, samplers"):
        nested("sampler")
    with pytest.raises(ValueError, match="no kind 'recipes'"):
        nested("recipes")


def test_the_schema_has_an_object_with_the_types_there_are():
    described = recipe_type(KNOWN).model_json_schema()["$defs"]["Slow"]["properties"]["masking"]
    assert described["type"] == "object"
    assert {"share", "dirichlet"} <= set(described["properties"]["type"]["enum"])


def test_without_nested_fields_nothing_changes():
    assert load_recipe("quickstart").masking.type == "dirichlet"
