"""A target's `width` is asked before anything is built: what it gets wrong is one error that names the plugin."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from plugin_entries import Entry, module

from maetoolkit.errors import ConfigError
from maetoolkit.modality import Modality
from maetoolkit.model.target import Ema
from maetoolkit.train.recipe import load_recipe
from maetoolkit.train.run import build_model


class Own(Ema):
    type: Literal["own"] = "own"  # type: ignore[assignment]


class Nothing(Own):
    def width(self, encoder_dim: int, entry: Modality) -> int:
        return None  # type: ignore[return-value]


class Short(Own):
    def width(self, encoder_dim: int) -> int:  # type: ignore[override]
        return encoder_dim


class Patchwise(Own):
    def width(self, encoder_dim: int, entry: Modality) -> int:
        return encoder_dim + entry.content[0]


def built(install: Any, target: type[Own]) -> Any:
    install([Entry("mine", lambda: module(maetoolkit_targets=lambda: {"own": target}), "my-dist", "0.3")])
    rgb = {"type": "rgb", "size": 16, "patch": 8}
    made = {"type": "features", "of": "rgb", "teacher": {"type": "own"}}
    sections = {"data": {"size": 16, "workers": 0}, "encoder": {"dim": 16, "depth": 1, "heads": 2}}
    decoder = {"type": "cross", "dim": 16, "depth": 1, "heads": 2}
    masking = {"type": "share", "ratio": 0.5}
    recipe = {
        "steps": 1,
        "batch": 4,
        "modalities": {"rgb": rgb, "made": made},
        "decoder": decoder,
        "masking": masking,
        **sections,
    }
    return build_model(load_recipe(recipe))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Nothing, "width returned None; expected a whole number above 0"),
        (Short, r"width failed with TypeError .* takes 2 positional arguments but 3 were given"),
    ],
)
def test_a_width_that_breaks_its_contract_is_named(install: Any, target: type[Own], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        built(install, target)
    assert str(caught.value).startswith(
        f"modalities.made.teacher ({target.__name__} of plugin 'mine' (my-dist 0.3)): width "
    )


def test_the_head_is_as_wide_as_the_teacher_says_for_the_entry_it_is_of(install: Any) -> None:
    head = built(install, Patchwise).heads["made"]
    assert {len(weight) for weight in head.parameters()} == {16 + 3}
