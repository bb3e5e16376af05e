"""What a plugin does to the process as it is loaded, and what is said of one that cannot be."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from plugin_entries import Entry, module, raising

from maetoolkit.plugins import load

GOOD = Entry("good", lambda: module())


def test_an_error_says_where_in_the_plugin_it_came_up():
    here = Entry("plugin_entries", raising(ImportError("no lidar")), "here-dist")
    (problem,) = load([here]).problems
    assert re.fullmatch(
        r"plugin 'plugin_entries' \(here-dist 1\.2\): ImportError: no lidar \(\S+plugin_entries\.py:\d+\); "
        "upgrade or uninstall it, or set MAETOOLKIT_BLOCK=plugin_entries",
        problem,
    )


def printing():
    print("hello from the import")
    return module(maetoolkit_sources=lambda: print("hello from a hook") or {})


def test_what_a_plugin_prints_as_it_is_loaded_is_no_part_of_what_a_command_prints(capsys):
    known = load([Entry("chatty", printing), GOOD])
    print("a document")
    assert known.problems == ()
    printed = capsys.readouterr()
    assert printed.out == "a document\n"
    assert printed.err == "hello from the import\nhello from a hook\n"


def rude(folder, fails):
    def load_it():
        sys.stdout = sys.stderr = None
        os.chdir(folder)
        if fails:
            raise ImportError("no lidar")
        return module()

    return load_it


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_plugin_changes_of_the_process_is_put_back_and_told(tmp_path, monkeypatch, fails):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    before, found = (sys.stdout, sys.stderr, Path.cwd()), []
    after = Entry("after", lambda: found.append((sys.stdout is sys.stderr is before[1], Path.cwd())) or module())
    known = load([Entry("rude", rude(tmp_path / "elsewhere", fails), "rude-dist"), after, GOOD])
    assert (sys.stdout, sys.stderr, Path.cwd()) == before
    assert found == [(True, before[2])]
    assert known.problems[-1] == (
        "plugin 'rude' (rude-dist 1.2): loading it changed sys.stdout and sys.stderr and the working directory, "
        "which it must not; put back as it was"
    )
    assert len(known.problems) == 1 + fails
    assert [plugin.status for plugin in known.plugins if plugin.name in ("after", "good")] == ["loaded", "loaded"]


def test_a_recipe_that_nobody_offers_may_be_one_of_a_plugin_that_is_not_installed():
    known = load([])
    assert known.recipes.explain("quickstar") == (
        "unknown recipe 'quickstar'; did you mean 'quickstart'? a plugin that offers it may not be installed; "
        f"there are: {', '.join(known.recipes)}"
    )
    known = load([Entry("bad", raising(ImportError("torch is too old")), "bad-dist"), GOOD], block=frozenset({"good"}))
    assert known.recipes.explain("quickstar") == (
        "unknown recipe 'quickstar'; plugin 'bad' (bad-dist 1.2) is broken: ImportError: torch is too old; "
        "plugin 'good' (dist-good 1.2) is blocked: switched off by MAETOOLKIT_BLOCK; "
        f"there are: {', '.join(known.recipes)}"
    )
