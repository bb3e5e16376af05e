"""Loading what is installed, plugin by plugin.

Built-ins enter through the same hooks as third-party plugins. Each plugin is loaded and called alone; whatever goes
wrong in it is recorded under its name and disturbs nobody else, until something is asked for that nobody has.
One that hangs is left behind after a time. A plugin is code that you trust: it runs in this process.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import Any, Protocol

from maetoolkit.errors import ConfigError
from maetoolkit.hookspecs import API, KINDS, PROJECT, hooks
from maetoolkit.plugins.kinds import BLOCK, Plugin, Registry
from maetoolkit.plugins.limit import InterruptingError, NotFinishedError, PluginThread, time_limit, within
from maetoolkit.plugins.offers import checked
from maetoolkit.plugins.surroundings import kept
from maetoolkit.plugins.version import DECLARED, declared, refusal

ALLOW = "MAETOOLKIT_PLUGINS"


class Entry(Protocol):
    """What the loader needs of an entry point: its name, module, distribution, and a way to load it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def value(self) -> str: ...  # noqa: D102
    @property
    def dist(self) -> Any: ...  # noqa: D102
    def load(self) -> Any: ...  # noqa: D102


def registry() -> Registry:
    """What is installed here, as far as MAETOOLKIT_PLUGINS (allow-list; empty: none) and MAETOOLKIT_BLOCK let it in."""
    if isinstance(threading.current_thread(), PluginThread):
        raise RuntimeError("registry() was called while plugins are being loaded; call it later, inside a method")
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
    seconds = time_limit()
    plugins = [_builtin()]
    seen: set[str] = set()
    for entry in entries:
        distribution, number = _distribution(entry)
        names = {entry.name, distribution}
        seen |= names
        if names & block or (allow is not None and not names & allow):
            reason = f"switched off by {BLOCK if names & block else f'{ALLOW} or --no-plugins'}"
            plugins.append(Plugin(entry.name, distribution, number, "blocked", reason))
        else:
            plugins.append(_load(entry, seconds))
    for name in sorted((allow or frozenset()) - seen):
        plugins.append(Plugin(name, "", "", "missing", f"named in {ALLOW} but not installed"))
    return Registry(plugins)


def _builtin() -> Plugin:
    """The built-ins, through the same hooks; they are found by name, for this room lies below those they come from."""
    from importlib_metadata import version

    try:
        found = hooks(importlib.import_module(f"{PROJECT}.builtin"))
        offers = {kind: checked(kind, hook()) for kind, hook in found}
    except Exception as error:
        raise ConfigError(
            f"the built-ins of maetoolkit cannot be loaded, so this installation is damaged: {_told(error)}"
        ) from error
    return Plugin("builtin", PROJECT, version(PROJECT), "loaded", "", offers, str(API))


def _load(entry: Entry, seconds: float) -> Plugin:
    """Import one plugin and call its hooks, and put back what it changed meanwhile."""
    with kept() as changed:
        plugin = _alone(entry, seconds)
    return replace(plugin, changed=tuple(changed))


def _alone(entry: Entry, seconds: float) -> Plugin:
    """Import one plugin and call its hooks; whatever it raises, even SystemExit, is kept as the reason."""
    distribution, number = _distribution(entry)
    api, offers, light = "", dict[str, Mapping[str, Any]](), "torch" not in sys.modules
    try:
        plugin = within(seconds, "importing", entry.load)
        versions = within(seconds, f"looking up {DECLARED}", partial(declared, plugin))
        if versions is not None:
            api = "-".join(str(each) for each in dict.fromkeys(versions))
            if problem := refusal(versions, distribution):
                return Plugin(entry.name, distribution, number, "broken", problem, api=api)
        for kind, hook in within(seconds, "registering", lambda: list(hooks(plugin))):
            if kind in KINDS:
                offers[kind] = within(seconds, f"{PROJECT}_{kind}", partial(_called, kind, hook))
            else:
                offers[kind] = Later(
                    f"{entry.name} ({distribution} {number}): {PROJECT}_{kind}", partial(_called, kind, hook)
                )
    except KeyboardInterrupt:  # the user's; a plugin's is an InterruptingError
        raise
    except BaseException as error:  # a plugin may raise anything; the others must not notice
        ours = isinstance(error, NotFinishedError | InterruptingError)
        reason = (str(error) if ours else _told(error)) + _place(entry, error)
        remedy = f"upgrade or uninstall it, or set {BLOCK}={entry.name}"
        return Plugin(entry.name, distribution, number, "broken", reason, api=api, remedy=remedy)
    return Plugin(entry.name, distribution, number, "loaded", "", offers, api, light and "torch" in sys.modules)


def _called(kind: str, hook: Callable[[], Any]) -> dict[str, Any]:
    return checked(kind, hook())


class Later(Mapping[str, Any]):
    """What a hook returns, asked for when somebody first looks: the cases of a plugin may need torch."""

    def __init__(self, what: str, ask: Callable[[], dict[str, Any]]) -> None:
        self._what, self._ask = what, ask

    @cached_property
    def _found(self) -> dict[str, Any]:
        try:
            return self._ask()
        except (Exception, SystemExit) as error:
            raise ConfigError(f"plugin {self._what} failed: {_told(error)}") from error

    def __getitem__(self, name: str) -> Any:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _told(error: BaseException) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".strip().rstrip(":").split())


def _place(entry: Entry, error: BaseException) -> str:
    """Where in the plugin's own code an error came up, as ` (file:line)`; empty where it was not in there."""
    package = entry.value.partition(":")[0].strip().partition(".")[0]
    found = [
        f" ({frame.f_code.co_filename}:{line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    return found[-1] if found else ""


def _distribution(entry: Entry) -> tuple[str, str]:
    """Name and version of the distribution that an entry point belongs to, as far as they can be read."""
    try:
        return str(entry.dist.name), str(entry.dist.version)
    except Exception:
        return "unknown distribution", "?"


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())
