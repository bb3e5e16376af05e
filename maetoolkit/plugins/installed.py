"""The registry: what is installed, who offers it, and what is broken.

Built-ins enter through the same hooks as third-party plugins. Each plugin is loaded and called alone; whatever goes
wrong in it is recorded under its name and disturbs nobody else, until something is asked for that nobody has.
A plugin is code that you trust: it runs in this process.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Protocol

from maetoolkit.errors import ConfigError
from maetoolkit.hookspecs import PROJECT, call
from maetoolkit.plugins.kinds import BLOCK, Plugin, Registry
from maetoolkit.plugins.offers import checked

ALLOW = "MAETOOLKIT_PLUGINS"


class Entry(Protocol):
    """What the loader needs of an entry point: its name, its distribution, and a way to load it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def dist(self) -> Any: ...  # noqa: D102
    def load(self) -> Any: ...  # noqa: D102


def registry() -> Registry:
    """What is installed here, as far as MAETOOLKIT_PLUGINS (allow-list; empty: none) and MAETOOLKIT_BLOCK let it in."""
    return _cached(os.environ.get(ALLOW), os.environ.get(BLOCK, ""))


@lru_cache(maxsize=8)
def _cached(allow: str | None, block: str) -> Registry:
    return load(entry_points(), None if allow is None else _names(allow), _names(block))


def entry_points() -> Iterable[Entry]:
    """The installed entry points of group `maetoolkit`."""
    from importlib_metadata import entry_points as installed

    return sorted(installed(group=PROJECT), key=lambda entry: (entry.name, entry.value))


def load(
    entries: Iterable[Entry], allow: frozenset[str] | None = None, block: frozenset[str] = frozenset()
) -> Registry:
    """The registry of the built-ins and `entries`; `allow` and `block` hold names of plugins or distributions."""
    from importlib_metadata import version

    # by its name: this room lies below those that the built-ins come from
    builtin = _load("builtin", PROJECT, version(PROJECT), lambda: importlib.import_module(f"{PROJECT}.builtin"))
    if builtin.status == "broken":
        raise ConfigError(
            f"the built-ins of maetoolkit cannot be loaded, so this installation is damaged: {builtin.reason}"
        )
    plugins = [builtin]
    seen: set[str] = set()
    for entry in entries:
        distribution, number = _distribution(entry)
        names = {entry.name, distribution}
        seen |= names
        if names & block or (allow is not None and not names & allow):
            reason = f"switched off by {BLOCK if names & block else f'{ALLOW} or --no-plugins'}"
            plugins.append(Plugin(entry.name, distribution, number, "blocked", reason))
        else:
            plugins.append(_load(entry.name, distribution, number, entry.load))
    for name in sorted((allow or frozenset()) - seen):
        plugins.append(Plugin(name, "", "", "missing", f"named in {ALLOW} but not installed"))
    return Registry(plugins)


def _load(name: str, distribution: str, version: str, import_it: Callable[[], Any]) -> Plugin:
    """Import one plugin and call its hooks; whatever it raises, even SystemExit, is kept as the reason."""
    offers: dict[str, dict[str, Any]] = {}
    try:
        for kind, value in call(import_it()):
            offers[kind] = checked(kind, value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything; the others must not notice
        reason = f"{type(error).__name__}: {error}".strip().rstrip(":").replace("\n", " ")
        return Plugin(name, distribution, version, "broken", reason)
    return Plugin(name, distribution, version, "loaded", "", offers)


def _distribution(entry: Entry) -> tuple[str, str]:
    """Name and version of the distribution that an entry point belongs to, as far as they can be read."""
    try:
        return str(entry.dist.name), str(entry.dist.version)
    except Exception:
        return "unknown distribution", "?"


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())
