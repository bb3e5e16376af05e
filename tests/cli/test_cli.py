from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from maetoolkit import cli
from maetoolkit.cli import main
from maetoolkit.errors import ConfigError, DataError
from maetoolkit.train.document import parse
from maetoolkit.train.recipe import load_recipe


def run(*words):
    return CliRunner().invoke(main, list(words))


def test_without_arguments_the_help_is_shown():
    result = run()
    for name in ("pretrain", "show", "plugins", "schema", "report", "export", "--no-plugins"):
        assert name in result.output
    assert run("--help").exit_code == 0


@pytest.mark.parametrize("name", ["pretrain", "show", "plugins", "schema", "report", "export"])
def test_each_command_explains_itself(name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.output


def test_an_unknown_command_names_the_nearest():
    result = run("pretran")
    assert result.exit_code == 2
    assert "did you mean 'pretrain'?" in result.output


def test_the_version_is_shown():
    assert run("--version").output.startswith("maetool, version ")


def test_plugins_lists_who_offers_what():
    result = run("plugins")
    assert result.exit_code == 0
    assert "builtin  (maetoolkit " in result.output
    assert "standardized_rgb" in result.output


def test_a_plugin_that_is_not_installed_is_listed_without_empty_brackets(monkeypatch):
    monkeypatch.setenv("MAETOOLKIT_PLUGINS", "nope")
    output = run("plugins").output
    assert "nope  missing\n  named in MAETOOLKIT_PLUGINS but not installed" in output
    assert "()" not in output


def test_the_schema_is_json():
    described = json.loads(run("schema").output)
    assert described["properties"]["steps"]


def test_show_prints_a_recipe_that_can_be_used():
    result = run("show", "multimae-vit-b", "batch=512", "--settings-only")
    assert result.exit_code == 0
    assert load_recipe(parse(result.output, "shown").values) == load_recipe("multimae-vit-b", ["batch=512"])


def test_show_measures_the_default_recipe():
    result = run("show")
    assert result.exit_code == 0, result.output
    assert "visible tokens: 32 per sample" in result.output
    assert "GFLOP per sample" in result.output


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["pretrain", "quikstart"], ["did you mean 'quickstart'?"]),
        (["pretrain", "stepz=3"], ["command line: stepz=3", "did you mean steps?"]),
        (["pretrain", "quickstart", "modalities.depht.size=3"], ["did you mean depth?"]),
        (["pretrain", "quickstart", "steps"], ["expected key=value"]),
        (["show", "no/such.yaml"], ["no/such.yaml", "nothing there"]),
        (["show", "quickstart", "masking.num_visible=500"], ["192 tokens"]),
        (["report", "no/such/run"], ["no/such/run", "expected a run directory"]),
        (["export", "no/such/run", "--to", "timm", "--out", "x"], ["expected a run directory"]),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(words, parts):
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    for part in parts:
        assert part in result.stderr
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError("a: b"), 2), (DataError("c: d"), 1), (KeyboardInterrupt("e"), 130)]
)
def test_each_kind_of_end_has_its_exit_code(error, code, monkeypatch):
    @click.command()
    def failing():
        raise error

    monkeypatch.setitem(cli.COMMANDS, "failing", failing)
    result = run("failing")
    assert result.exit_code == code
    assert result.stderr == f"{error}\n"


def test_a_command_of_a_plugin_is_found(monkeypatch):
    hello = click.Command("hello", callback=lambda: click.echo("hello"), help="Say it.")
    monkeypatch.setattr(cli, "_offered", lambda: {**cli.COMMANDS, "hello": hello})
    assert run("hello").output == "hello\n"
    assert "Say it." in run("--help").output


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--help"], 0), (["plugins"], 0), (["schema"], 0), (["pretrain", "x=1"], 2), (["--no-plugins", "plugins"], 0)],
)
def test_answers_that_need_no_torch_do_not_import_it(words, code):
    program = "\n".join(
        [
            "import sys",
            "from maetoolkit.cli import main",
            "try:",
            f"    main({words!r})",
            "except SystemExit as end:",
            f"    assert end.code in ({code}, None if {code} == 0 else {code}), end.code",
            "assert 'torch' not in sys.modules and 'numpy' not in sys.modules",
        ]
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_a_hostile_recipe_file_runs_nothing(tmp_path):
    canary = tmp_path / "canary"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"steps: !!python/object/apply:os.system ['touch {canary}']\n")
    result = run("show", str(recipe))
    assert result.exit_code == 2
    assert f"{recipe}:1: tag " in result.stderr
    assert not canary.exists()
