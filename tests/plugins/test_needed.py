from __future__ import annotations

import json
import logging
from typing import Literal

import pytest
from plugin_entries import Entry, module, offering

from maetoolkit.errors import ConfigError
from maetoolkit.masking.sampler import Masking, MaskSampler
from maetoolkit.masking.share import Share
from maetoolkit.modalities.image import RGB
from maetoolkit.plugins import installed, load, nested
from maetoolkit.train.needed import needed
from maetoolkit.train.recipe import load_recipe


class Heat(RGB):
    type: Literal["heat"] = "heat"


class Half(Masking):
    type: Literal["half"] = "half"
    masking: nested("samplers") = Share()  # type: ignore[valid-type]

    def build(self) -> MaskSampler:
        return self.masking.build()


def entries(version="0.1.0"):
    camera = Entry("camera", lambda: module(maetoolkit_modalities=lambda: {"heat": Heat}), "maetoolkit-camera", version)
    half = Entry("half", lambda: module(maetoolkit_samplers=lambda: {"half": Half}), "half_masks", "2.0")
    return [camera, half]


SETTINGS = {
    "steps": 2,
    "batch": 2,
    "modalities": {
        "rgb": {"type": "rgb", "size": 16, "patch": 8},
        "infrared": {"type": "heat", "size": 16, "patch": 8},
    },
    "masking": {"type": "share", "ratio": 0.5},
    "encoder": {"dim": 16, "depth": 1, "heads": 2},
    "decoder": {"dim": 16, "depth": 1, "heads": 2},
    "data": {"size": 16, "num_train": 4, "num_validation": 2, "workers": 0, "streams": {"infrared": "rgb"}},
    "optimizer": {"warmup_steps": 1},
}
NESTED = {**SETTINGS, "masking": {"type": "half", "masking": {"type": "half"}}}


def test_a_recipe_knows_the_plugins_it_uses_at_any_depth_and_leaves_built_ins_out(install):
    install(entries())
    kept = load_recipe(NESTED).with_versions()
    assert kept.plugins == {"modalities.heat": "maetoolkit-camera==0.1.0", "samplers.half": "half_masks==2.0"}
    inner = {**SETTINGS, "modalities": {"rgb": {"type": "rgb"}}, "data": {}, "masking": NESTED["masking"]}
    assert needed(load_recipe(inner), installed.registry()) == {"samplers.half": "half_masks==2.0"}
    assert load_recipe("quickstart").with_versions().plugins == {}


def test_what_is_stated_of_plugins_is_no_part_of_a_runs_identity(install):
    install(entries())
    stated = load_recipe({**SETTINGS, "plugins": {"modalities.heat": "maetoolkit-camera"}})
    assert stated.identity() == load_recipe(SETTINGS).identity()


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            [],
            "modalities.infrared.type: unknown modality 'heat'; maetoolkit-camera offers it and is not installed: "
            "pip install maetoolkit-camera==0.1.0",
        ),
        (
            [Entry("camera", lambda: 1 / 0, "Maetoolkit_Camera", "0.1.0")],
            "modalities.infrared.type: unknown modality 'heat'; maetoolkit-camera offers it and is broken: "
            "ZeroDivisionError: division by zero",
        ),
        (
            [Entry("camera", offering("modalities", {}), "maetoolkit-camera", "7")],
            "modalities.infrared.type: unknown modality 'heat'; maetoolkit-camera offers it in another version than 7, "
            "which is installed: pip install maetoolkit-camera==0.1.0",
        ),
    ],
)
def test_a_type_that_nobody_offers_here_names_the_distribution_that_does(install, tmp_path, found, message):
    install(entries())
    (tmp_path / "recipe.yaml").write_text(load_recipe(NESTED).with_versions().yaml())
    install(found)
    with pytest.raises(ConfigError) as caught:
        load_recipe(tmp_path)
    assert message in str(caught.value)
    assert (
        "masking.type: unknown sampler 'half'; half_masks offers it and is not installed: pip install half_masks==2.0"
        in str(caught.value)
    )


def test_a_nested_type_that_nobody_offers_names_it_too(install):
    install([])
    outer = load([Entry("outer", lambda: module(maetoolkit_samplers=lambda: {"half": Half}))])
    installed._cached.cache_clear()
    settings = {
        **SETTINGS,
        "modalities": {"rgb": {"type": "rgb"}},
        "masking": {"type": "half", "masking": {"type": "lost"}},
    }
    from maetoolkit.train.check import checked
    from maetoolkit.train.resolve import resolve

    document = resolve({**settings, "plugins": {"samplers.lost": "lost-masks>=1"}}, [], outer)
    with pytest.raises(ConfigError, match=r"masking\.masking\.type: .*: pip install 'lost-masks>=1'"):
        checked(document, outer)


def test_without_a_record_the_message_lists_what_there_is(install):
    install([])
    with pytest.raises(ConfigError, match=r"unknown modality 'heat'; there are: rgb, "):
        load_recipe(SETTINGS)


def test_a_base_that_a_missing_plugin_offers_is_named(install, tmp_path):
    install([])
    (tmp_path / "mine.yaml").write_text("base: rgb-heat\nplugins: {recipes.rgb-heat: maetoolkit-camera}\n")
    with pytest.raises(
        ConfigError, match="base: unknown recipe 'rgb-heat'; maetoolkit-camera offers it and is not inst"
    ):
        load_recipe(tmp_path / "mine.yaml")


@pytest.mark.parametrize("text", ["", "two words", "evil; rm", "name==", "-e git+https://x", "name @ file:///x"])
def test_what_is_no_distribution_is_refused(install, text):
    install(entries())
    with pytest.raises(ConfigError, match=r"plugins\.modalities\.heat: found .* expected a distribution"):
        load_recipe({**SETTINGS, "plugins": {"modalities.heat": text}})


def test_another_version_of_a_plugin_is_a_warning_once(install, caplog):
    install(entries())
    stated = load_recipe(SETTINGS).with_versions().document()
    assert not caplog.records
    install(entries("0.2.0"))
    with caplog.at_level(logging.WARNING, "maetoolkit"):
        assert load_recipe(stated).modality_set["infrared"] == Heat(size=16, patch=8)
        load_recipe(stated)
    assert [record.getMessage() for record in caplog.records] == [
        "recipe: plugins: modalities.heat: made with maetoolkit-camera==0.1.0, here it is maetoolkit-camera==0.2.0; "
        "results may differ; for the same: pip install maetoolkit-camera==0.1.0"
    ]


def test_a_run_and_its_checkpoints_record_the_plugins_and_can_be_loaded_again(install, tmp_path):
    from maetoolkit.train.document import read_document
    from maetoolkit.train.run import load_run, pretrain

    install(entries())
    run = pretrain(load_recipe({**SETTINGS, "run": str(tmp_path / "run")}))
    expected = {"modalities.heat": "maetoolkit-camera==0.1.0"}
    assert read_document(run.path / "recipe.yaml").values["plugins"] == expected
    (state,) = run.checkpoints.glob("step-2/state.json")
    assert json.loads(state.read_text())["plugins"] == expected
    assert load_run(run.path)[0].plugins == expected
    install([])
    with pytest.raises(
        ConfigError, match="maetoolkit-camera offers it and is not installed: pip install maetoolkit-came"
    ):
        load_run(run.path)
