"""The arguments `[RECIPE] [key=value ...]` that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from maetoolkit.errors import ConfigError

DEFAULT_RECIPE = "quickstart"


def recipe_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `recipe` and `overrides`; where the first word is a key=value, the recipe is quickstart."""

    @click.argument("words", nargs=-1, metavar="[RECIPE] [KEY=VALUE]...")
    @wraps(command)
    def with_recipe(words: tuple[str, ...], **others: Any) -> Any:
        named = bool(words) and ("=" not in words[0] or Path(words[0]).exists())
        recipe = words[0] if named else DEFAULT_RECIPE
        return command(recipe=recipe, overrides=words[1:] if named else words, **others)

    return with_recipe


def check_run(run: Path) -> None:
    """Raise ConfigError, before torch is imported, where `run` is no run directory."""
    try:
        there = (run / "recipe.yaml").is_file()
        found = "a folder without recipe.yaml" if run.is_dir() else "a file" if run.exists() else "nothing there"
    except OSError as error:
        raise ConfigError(f"{run}: cannot be read ({error.strerror}); expected a run of this user") from None
    if not there:
        raise ConfigError(f"{run}: expected a run directory, as `maetool pretrain` writes it; found {found}")
