"""What recipes, schemas and readers of the hooks make of the registry."""

from __future__ import annotations

import subprocess
import sys
from typing import Literal

import pytest
from plugin_entries import Entry, offering
from pydantic import ConfigDict

from maetoolkit.errors import ConfigError
from maetoolkit.hookspecs import HOOKS, KINDS, Hooks
from maetoolkit.modalities.image import RGB
from maetoolkit.plugins import load
from maetoolkit.train.check import checked
from maetoolkit.train.recipe import load_recipe, recipe_type, schema
from maetoolkit.train.resolve import resolve


class Thermal(RGB):
    type: Literal["thermal"] = "thermal"
    channels: int = 1


GOOD = Entry("good", offering("modalities", {"thermal": Thermal}))


def test_a_recipe_can_use_a_plugin_and_the_schema_knows_it():
    known = load([GOOD])
    settings = {"steps": 1, "modalities": {"heat": {"type": "thermal"}}}
    recipe = checked(resolve(settings, ["modalities.heat.size=64", "masking.num_visible=4"], known), known)
    assert recipe.modality_set["heat"] == Thermal(size=64)
    assert "Thermal" in recipe_type(known).model_json_schema()["$defs"]
    with pytest.raises(ConfigError, match="unknown modality 'thermal'"):
        load_recipe(settings)


class LockedBy:
    """Of which pydantic knows nothing."""


class Opaque(RGB):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    type: Literal["opaque"] = "opaque"
    lock: LockedBy = LockedBy()


@pytest.mark.filterwarnings("ignore::pydantic.json_schema.PydanticJsonSchemaWarning")
def test_what_has_no_schema_is_left_out_and_the_rest_is_described(install):
    install([Entry("odd", offering("modalities", {"opaque": Opaque, "thermal": Thermal}), "odd-dist")])
    described = schema()["$defs"]
    assert "Thermal" in described
    assert load_recipe("quickstart").batch == 32


def test_every_kind_has_a_hook_with_a_docstring():
    assert len(HOOKS) == 11
    assert set(HOOKS) - set(KINDS) == {"cases"}
    assert all(getattr(Hooks, f"maetoolkit_{kind}").__doc__ for kind in HOOKS)


def test_loading_the_registry_imports_no_torch():
    code = (
        "import sys; from maetoolkit.plugins import registry; registry().modalities; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
