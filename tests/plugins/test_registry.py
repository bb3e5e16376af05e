from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Literal

import click
import pytest
import torch
from plugin_entries import Entry, module, offering, raising

from maetoolkit.description import Description
from maetoolkit.errors import ConfigError
from maetoolkit.modalities.image import RGB
from maetoolkit.plugins import hookimpl, installed, load, registry
from maetoolkit.plugins.limit import PluginThread
from maetoolkit.train.check import checked
from maetoolkit.train.resolve import resolve


class Thermal(RGB):
    type: Literal["thermal"] = "thermal"
    channels: int = 1


GOOD = Entry("good", offering("modalities", {"thermal": Thermal}))


class Abstract(Description):
    type: Literal["abstract"] = "abstract"


class Untyped(RGB):
    type: str = "untyped"  # which no union can tell apart from others


class Halfway(RGB):
    type: Literal["halfway"] = "halfway"
    size: "Nowhere" = 3


def hanging():
    time.sleep(3600)


def asking():
    return registry()


HOSTILE = {
    "import": (raising(ImportError("no module named 'gone'")), "ImportError: no module named 'gone'"),
    "exit": (raising(SystemExit(3)), "SystemExit"),
    "crash": (raising(ZeroDivisionError("division by zero")), "ZeroDivisionError"),
    "base": (raising(BaseException("odd")), "odd"),
    "time": (raising(TimeoutError("no answer from a server")), "TimeoutError: no answer from a server"),
    "hangs": (hanging, "did not finish importing within 0.2 s (MAETOOLKIT_PLUGIN_TIMEOUT sets another limit)"),
    "hangs late": (lambda: module(maetoolkit_sources=hanging), "did not finish maetoolkit_sources within 0.2 s"),
    "asks": (asking, "registry() was called while plugins are being loaded; call it later"),
    "none": (offering("modalities", None), "maetoolkit_modalities must return a mapping of name"),
    "list": (offering("modalities", ["thermal"]), "maetoolkit_modalities must return a mapping"),
    "instance": (offering("modalities", {"thermal": Thermal()}), "expected a subclass of Description"),
    "foreign": (offering("modalities", {"abstract": Abstract}), "expected a subclass of maetoolkit.modality.Modality"),
    "misnamed": (offering("modalities", {"heat": Thermal}), 'must declare `type: Literal["heat"] = "heat"`'),
    "untyped": (offering("modalities", {"untyped": Untyped}), "found `type: str = 'untyped'`"),
    "halfway": (offering("modalities", {"halfway": Halfway}), "Nowhere"),
    "number": (offering("modalities", {3: Thermal}), "names must be non-empty strings"),
    "sampler": (offering("samplers", {"thermal": Thermal}), "maetoolkit.masking.sampler.Masking"),
    "decoder": (offering("decoders", {"abstract": Abstract}), "maetoolkit.model.decoder.DecoderDescription"),
    "recipe": (offering("recipes", {"r": "/no/such/file.yaml"}), "expected the path of a YAML file"),
    "command": (offering("commands", {"c": print}), "expected a click.Command"),
    "misspelt": (lambda: module(maetoolkit_modality=lambda: {}), "did you mean maetoolkit_modalities?"),
    "arguments": (
        lambda: module(maetoolkit_modalities=lambda registry: {}),
        "TypeError: maetoolkit_modalities(registry): hooks take no arguments",
    ),
    "interrupt": (raising(KeyboardInterrupt()), "raised KeyboardInterrupt"),
    "interrupt late": (lambda: module(maetoolkit_sources=raising(KeyboardInterrupt())), "raised KeyboardInterrupt"),
    "inside": (lambda: module(maetoolkit_sources=lambda: 1 / 0), "ZeroDivisionError"),
    "too new": (lambda: module(MAETOOLKIT_API=2), "is made for plugin API 2, this maetoolkit has API 1; pip install"),
    "newer": (
        lambda: module(MAETOOLKIT_API=(2, 3)),
        "API 2 to 3, this maetoolkit has API 1; pip install",
    ),
    "no version": (lambda: module(MAETOOLKIT_API="1"), "must be a whole number or a pair (lowest, highest), found '1'"),
    "backwards": (lambda: module(MAETOOLKIT_API=(2, 1)), "pair (lowest, highest), found (2, 1)"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_broken_plugin_is_named_with_its_reason_and_disturbs_nobody(name, monkeypatch):
    monkeypatch.setenv("MAETOOLKIT_PLUGIN_TIMEOUT", "0.2")
    load_it, reason = HOSTILE[name]
    known = load([Entry("bad", load_it, "bad-dist", "0.3"), GOOD])
    bad = next(plugin for plugin in known.plugins if plugin.name == "bad")
    assert bad.status == "broken"
    assert reason in bad.reason
    remedy = "" if "pip install" in reason else "; upgrade or uninstall it, or set MAETOOLKIT_BLOCK=bad"
    assert known.problems == (f"plugin 'bad' (bad-dist 0.3): {bad.reason}{remedy}",)
    assert known.modalities["thermal"] is Thermal
    assert checked(resolve({"steps": 1, "modalities": {"heat": {"type": "thermal"}}}, [], known), known)


def test_the_users_interrupt_is_not_swallowed(monkeypatch):
    def interrupted(thread, timeout=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(PluginThread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load([GOOD])


def test_built_ins_come_through_the_same_hooks():
    known = load([])
    assert {"rgb", "standardized_rgb", "depth", "semantic"} <= set(known.modalities)
    assert {"share", "dirichlet"} <= set(known.samplers)
    assert {"folder", "scenes"} <= set(known.sources)
    assert known.plugins[0].name == "builtin"
    assert known.plugins[0].distribution == "maetoolkit"


def test_two_owners_of_one_name_are_both_named_and_neither_gets_it():
    known = load([GOOD, Entry("other", offering("modalities", {"thermal": Thermal}), "other-dist", "9")])
    with pytest.raises(
        ConfigError,
        match=r"'thermal' is offered by plugin 'good' \(dist-good 1.2\) and plugin 'other' \(other-dist 9\)",
    ):
        known.modalities["thermal"]
    assert "thermal" not in list(known.modalities)
    assert len(known.problems) == 1
    assert known.modalities["rgb"] is RGB


def test_a_plugin_cannot_take_a_built_ins_name_away():
    class Other(RGB):
        pass

    known = load([GOOD, Entry("greedy", offering("modalities", {"rgb": Other}), "greedy-dist")])
    assert known.modalities["rgb"] is RGB
    assert known.modalities["thermal"] is Thermal
    (problem,) = known.problems
    assert problem.startswith("modality 'rgb' is offered by plugin 'builtin' (maetoolkit ")
    assert problem.endswith(
        "and plugin 'greedy' (greedy-dist 1.2); the built-in one is used; the plugin must call its own otherwise"
    )


def test_a_plugin_for_an_older_api_is_told_to_be_upgraded(monkeypatch):
    monkeypatch.setattr("maetoolkit.plugins.version.API", 3)
    known = load([Entry("old", lambda: module(MAETOOLKIT_API=(1, 2)), "old-dist"), GOOD])
    assert known.problems == (
        "plugin 'old' (old-dist 1.2): it is made for plugin API 1 to 2, this maetoolkit has API 3; "
        "pip install --upgrade old-dist",
    )
    assert known.modalities["thermal"] is Thermal


def test_the_api_that_a_plugin_declares_is_known():
    entries = [Entry("one", lambda: module(MAETOOLKIT_API=1)), Entry("pair", lambda: module(MAETOOLKIT_API=(1, 4)))]
    api = {plugin.name: plugin.api for plugin in load([*entries, GOOD]).plugins}
    assert api == {"builtin": "1", "one": "1", "pair": "1-4", "good": ""}


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("MAETOOLKIT_PLUGIN_TIMEOUT", text)
    with pytest.raises(ConfigError, match=f"MAETOOLKIT_PLUGIN_TIMEOUT: found '{text}'; expected a number of seconds"):
        load([])


def test_cases_are_asked_for_when_somebody_looks_and_not_before():
    asked = []
    entries = [
        Entry("good", lambda: module(maetoolkit_cases=lambda: asked.append(1) or {"c": dict})),
        Entry("three", offering("cases", {"c": 3})),
        Entry("crash", lambda: module(maetoolkit_cases=lambda: 1 / 0)),
    ]
    known = load(entries)
    assert (asked, known.problems) == ([], ())
    cases = {plugin.name: plugin.offers.get("cases") for plugin in known.plugins}
    assert dict(cases["good"]) == {"c": dict}
    assert len(cases["good"]) == len(asked) == 1
    with pytest.raises(ConfigError, match=r"plugin three \(dist-three 1.2\): maetoolkit_cases failed: .* found 3"):
        list(cases["three"])
    with pytest.raises(ConfigError, match="maetoolkit_cases failed: ZeroDivisionError"):
        list(cases["crash"])


def test_a_plugin_that_imports_torch_as_it_is_loaded_is_told_of(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")

    def heavy():
        sys.modules["torch"] = torch
        return module()

    known = load([GOOD, Entry("heavy", heavy), Entry("after", lambda: module())])
    assert [plugin.name for plugin in known.plugins if plugin.heavy] == ["heavy"]
    (problem,) = known.problems
    assert problem.startswith(
        "plugin 'heavy' (dist-heavy 1.2): loading it imports torch, which makes every command slow"
    )


def test_a_process_ends_although_a_plugin_hangs(tmp_path):
    (tmp_path / "hanging_plugin.py").write_text("import threading; threading.Event().wait()")
    info = tmp_path / "hanging_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[maetoolkit]\nhanging = hanging_plugin\n")
    settings = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
        "MAETOOLKIT_PLUGIN_TIMEOUT": "0.3",
    }
    listed = [sys.executable, "-m", "maetoolkit", "plugins"]
    done = subprocess.run(listed, env=settings, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "plugin 'hanging' (hanging-plugin 1.0): did not finish importing within 0.3 s" in done.stdout


def test_a_name_that_is_missing_mentions_the_plugin_that_may_have_offered_it():
    known = load([Entry("bad", raising(ImportError("torch is too old")), "bad-dist")])
    with pytest.raises(ConfigError) as caught:
        known.modalities["dept"]
    assert str(caught.value) == (
        f"unknown modality 'dept'; did you mean 'depth'? there are: {', '.join(known.modalities)}; "
        "plugin 'bad' (bad-dist 1.2) is broken: ImportError: torch is too old"
    )
    assert known.modalities.get("dept") is None


def test_allow_and_block_take_names_of_plugins_and_of_distributions():
    other = Entry("other", offering("commands", {"hello": click.Command("hello")}))
    names = lambda known: [plugin.name for plugin in known.plugins if plugin.status == "loaded"]  # noqa: E731
    assert names(load([GOOD, other])) == ["builtin", "good", "other"]
    assert names(load([GOOD, other], allow=frozenset({"good"}))) == ["builtin", "good"]
    assert names(load([GOOD, other], allow=frozenset({"dist-other"}))) == ["builtin", "other"]
    assert names(load([GOOD, other], allow=frozenset())) == ["builtin"]
    assert names(load([GOOD, other], block=frozenset({"good"}))) == ["builtin", "other"]
    missing = load([GOOD], allow=frozenset({"god"})).plugins[-1]
    assert (missing.name, missing.status) == ("god", "missing")


def test_a_blocked_plugin_is_not_imported():
    imported = []
    load([Entry("spy", lambda: imported.append(1))], block=frozenset({"spy"}))
    load([Entry("spy", lambda: imported.append(1))], allow=frozenset())
    assert imported == []


def test_the_environment_restricts_what_is_loaded(monkeypatch):
    monkeypatch.setattr(installed, "entry_points", lambda: [GOOD])
    installed._cached.cache_clear()
    try:
        assert "thermal" in installed.registry().modalities
        assert installed.registry() is installed.registry()
        monkeypatch.setenv("MAETOOLKIT_BLOCK", "x, good")
        assert "thermal" not in installed.registry().modalities
        monkeypatch.delenv("MAETOOLKIT_BLOCK")
        monkeypatch.setenv("MAETOOLKIT_PLUGINS", "")
        assert "thermal" not in installed.registry().modalities
        monkeypatch.setenv("MAETOOLKIT_PLUGINS", "dist-good")
        assert "thermal" in installed.registry().modalities
    finally:
        installed._cached.cache_clear()


def test_a_plugin_that_is_not_installed_is_named_without_empty_brackets():
    known = load([GOOD], allow=frozenset({"nope"}))
    missing = next(plugin for plugin in known.plugins if plugin.name == "nope")
    assert missing.owner == "plugin 'nope'"
    assert "plugin 'nope': named in MAETOOLKIT_PLUGINS but not installed" in known.problems


def test_a_class_may_hold_the_hooks():
    class Plugin:
        @hookimpl
        def maetoolkit_modalities(self):
            return {"thermal": Thermal}

    assert load([Entry("class", lambda: Plugin)]).modalities["thermal"] is Thermal
