"""`maetool plugins`: the list and the check."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from click.testing import CliRunner
from plugin_entries import Entry, module, raising

from maetoolkit.cli import main
from maetoolkit.errors import ConfigError
from maetoolkit.modalities.image import RGB
from maetoolkit.train.callbacks import Callback, CallbackDescription
from maetoolkit.train.recipe import load_recipe
from maetoolkit.train.run import pretrain


class Heat(RGB):
    type: Literal["heat"] = "heat"


class Leaky(RGB):
    """Its loss says that no prediction is as good as a black picture."""

    type: Literal["leaky"] = "leaky"

    def token_loss(self, prediction, target, valid):
        total, count = super().token_loss(prediction, 0 * target, valid)
        return total, count


def case(modality, **more):
    def make():
        from maetoolkit.testing import ModalityCase

        return ModalityCase(modality(size=(8,), patch=(4,)), **more)

    return make


def entries():
    good = module(
        MAETOOLKIT_API=(1, 2),
        maetoolkit_modalities=lambda: {"heat": Heat},
        maetoolkit_cases=lambda: {"small": case(Heat)},
    )
    bad = module(maetoolkit_modalities=lambda: {"leaky": Leaky}, maetoolkit_cases=lambda: {"leaky": case(Leaky)})
    declared = module(
        maetoolkit_modalities=lambda: {"leaky": Leaky},
        maetoolkit_cases=lambda: {"leaky": case(Leaky, expected={"optimum": "dark is what is wanted"})},
    )
    return [
        Entry("good", lambda: good, "good-dist", "1.0"),
        Entry("bad", lambda: bad, "bad-dist", "2.0"),
        Entry("crash", raising(ImportError("no lidar")), "crash-dist", "3.0"),
    ], declared


def run(*arguments):
    return CliRunner().invoke(main, ["plugins", *arguments])


def test_the_list_says_who_offers_what_for_which_api_and_what_is_wrong(install):
    install(entries()[0])
    done = run()
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert "good  (good-dist 1.0)  loaded  API 1-2" in lines
    assert "  modalities  heat" in lines
    assert "bad  (bad-dist 2.0)  loaded" in lines
    assert "crash  (crash-dist 3.0)  broken" in lines
    remedy = "upgrade or uninstall it, or set MAETOOLKIT_BLOCK=crash"
    assert f"  plugin 'crash' (crash-dist 3.0): ImportError: no lidar; {remedy}" in lines
    assert done.output.count(remedy) == 1


def test_the_list_is_one_json_document_too(install):
    install(entries()[0])
    told = json.loads(run("--json").output)
    by_name = {plugin["name"]: plugin for plugin in told["plugins"]}
    assert told["api"] == 1
    assert list(by_name) == ["builtin", "good", "bad", "crash"]
    assert by_name["good"]["offers"] == {"modalities": ["heat"]}
    assert (by_name["good"]["api"], by_name["bad"]["api"]) == ("1-2", None)
    assert by_name["crash"]["reason"] == "ImportError: no lidar"
    (problem,) = told["problems"]
    assert problem.startswith("plugin 'crash' (crash-dist 3.0): ImportError: no lidar; upgrade or uninstall it")


@pytest.mark.parametrize("name", ["good", "good-dist"])
def test_checking_a_good_plugin_names_every_law_and_ends_well(install, name):
    install(entries()[0])
    done = run("check", name, "--seed", "3")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == "small"
    assert "  no leak: holds" in done.output
    assert "BROKEN" not in done.output


def test_a_broken_law_is_explained_and_ends_with_one(install):
    install(entries()[0])
    done = run("check", "bad")
    assert done.exit_code == 1
    assert "  optimum: BROKEN\n    optimum: " in done.output
    assert "      See it: " in done.output
    assert done.output.splitlines()[-1].endswith(", 1 broken")


def test_a_law_that_fails_as_declared_is_no_failure(install):
    install([Entry("declared", lambda: entries()[1])])
    done = run("check", "declared")
    assert done.exit_code == 0, done.output
    assert "  optimum: fails as declared (dark is what is wanted)" in done.output


def test_a_plugin_that_is_not_there_or_broken_is_named(install):
    install(entries()[0])
    for name, message in (("god", "did you mean 'good'?"), ("crash", "is broken: ImportError: no lidar")):
        done = run("check", name)
        assert done.exit_code == 2
        assert message in done.output
        assert len(done.output.splitlines()) == 1


RUNG: list[int] = []


class Ring(Callback):
    def on_end(self, run):
        RUNG.append(run.step)


class Bell(CallbackDescription):
    type: Literal["bell"] = "bell"
    silent: bool = False

    def build(self):
        return None if self.silent else Ring()


TINY = {
    "steps": 2,
    "batch": 2,
    "modalities": {"rgb": {"type": "rgb", "size": 16, "patch": 8}},
    "masking": {"type": "share", "ratio": 0.5},
    "encoder": {"dim": 16, "depth": 1, "heads": 2},
    "decoder": {"dim": 16, "depth": 1, "heads": 2},
    "data": {"size": 16, "num_train": 4, "num_validation": 2, "workers": 0},
    "optimizer": {"warmup_steps": 1},
}


def test_a_recipe_may_name_callbacks_of_plugins_which_are_no_part_of_its_identity(install, tmp_path):
    install([Entry("bells", lambda: module(maetoolkit_callbacks=lambda: {"bell": Bell}), "bells", "1")])
    recipe = load_recipe({**TINY, "run": str(tmp_path / "run"), "callbacks": [{"type": "bell"}]})
    assert recipe.identity() == load_recipe(TINY).identity()
    assert recipe.with_versions().plugins == {"callbacks.bell": "bells==1"}
    pretrain(recipe)
    assert RUNG == [2]
    with pytest.raises(ConfigError, match=r"callbacks.0.type: unknown callback 'bel'; did you mean 'bell'\?"):
        load_recipe({**TINY, "callbacks": [{"type": "bel"}]})
    silent = {**TINY, "run": str(tmp_path / "other"), "callbacks": [{"type": "bell", "silent": True}]}
    with pytest.raises(ConfigError, match=r"^callbacks.0 \(Bell of plugin 'bells' \(bells 1\)\): build returned None"):
        pretrain(load_recipe(silent))
