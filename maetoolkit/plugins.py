"""The registry: what is installed, who offers it, and what is broken.

Built-ins enter through the same hooks as third-party plugins. Each plugin is loaded and called alone; whatever goes
wrong in it is recorded under its name and disturbs nobody else, until something is asked for that nobody has.
A plugin is code that you trust: it runs in this process.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from maetoolkit.description import Description
from maetoolkit.errors import ConfigError
from maetoolkit.hookspecs import KINDS, PROJECT, call, hookimpl

if TYPE_CHECKING:
    import click

    from maetoolkit.masking.sampler import Masking
    from maetoolkit.modality import Modality

__all__ = ["Entry", "Kind", "Plugin", "Registry", "hookimpl", "load", "registry"]

T = TypeVar("T")
ALLOW, BLOCK = "MAETOOLKIT_PLUGINS", "MAETOOLKIT_BLOCK"
BASES = {  # what an entry of a kind must derive from, named so that looking costs no import
    "modalities": "maetoolkit.modality.Modality",
    "samplers": "maetoolkit.masking.sampler.Masking",
    "sources": "maetoolkit.data.source.Source",
}


class Entry(Protocol):
    """What the loader needs of an entry point: its name, its distribution, and a way to load it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def dist(self) -> Any: ...  # noqa: D102
    def load(self) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class Plugin:
    """One installed plugin: who made it, what it offers (kind -> names), and why it cannot be used, if so."""

    name: str
    distribution: str
    version: str
    status: Literal["loaded", "broken", "blocked", "missing"]
    reason: str = ""
    offers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        """Name, distribution and version where it has them, for messages."""
        origin = f" ({self.distribution} {self.version})" if self.distribution else ""
        return f"plugin {self.name!r}{origin}"


class UnknownNameError(ConfigError, KeyError):
    """A name that nobody offers, or that two plugins do."""

    __str__ = Exception.__str__


class Kind(Mapping[str, T], Generic[T]):
    """What there is of one kind, by name; a name that two plugins claim belongs to neither."""

    def __init__(self, kind: str, plugins: Iterable[Plugin]) -> None:
        self.kind = kind
        self.owners: dict[str, list[Plugin]] = {}
        self._plugins = tuple(plugins)
        for plugin in self._plugins:
            for name in plugin.offers.get(kind, ()):
                self.owners.setdefault(name, []).append(plugin)

    def __getitem__(self, name: str) -> T:
        owners = self.owners.get(name, [])
        if len(owners) != 1:
            raise UnknownNameError(self.explain(name))
        return owners[0].offers[self.kind][name]

    def __iter__(self) -> Iterator[str]:
        return (name for name, owners in self.owners.items() if len(owners) == 1)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def explain(self, name: str) -> str:
        """Why `name` cannot be had: two owners, a near miss, or a plugin that could not be loaded."""
        owners = self.owners.get(name, [])
        what = self.kind.removesuffix("ies") + "y" if self.kind.endswith("ies") else self.kind.removesuffix("s")
        if len(owners) > 1:
            both = " and ".join(plugin.owner for plugin in owners)
            return f"{what} {name!r} is offered by {both}; uninstall one or set {BLOCK} to its name"
        near = get_close_matches(name, self.owners, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        lost = [f"{p.owner} is {p.status}: {p.reason}" for p in self._plugins if p.status != "loaded"]
        return "; ".join([f"unknown {what} {name!r}", f"{hint}there are: {', '.join(self)}", *lost])


class Registry:
    """Everything that can be named in a recipe or on the command line, and the plugins it came from."""

    modalities: Kind[type[Modality]]
    samplers: Kind[type[Masking]]
    encoders: Kind[type[Description]]
    decoders: Kind[type[Description]]
    targets: Kind[type[Description]]
    objectives: Kind[type[Description]]
    sources: Kind[type[Description]]
    callbacks: Kind[type[Description]]
    recipes: Kind[Path]
    commands: Kind[click.Command]

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins = tuple(plugins)
        for kind in KINDS:
            setattr(self, kind, Kind(kind, self.plugins))

    @property
    def problems(self) -> tuple[str, ...]:
        """One line per plugin that cannot be used and per name with two owners."""
        broken = [f"{p.owner}: {p.reason}" for p in self.plugins if p.status in ("broken", "missing")]
        kinds: list[Kind[Any]] = [getattr(self, kind) for kind in KINDS]
        return tuple(broken + [k.explain(n) for k in kinds for n, owners in k.owners.items() if len(owners) > 1])


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
            offers[kind] = _checked(kind, value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything; the others must not notice
        reason = f"{type(error).__name__}: {error}".strip().rstrip(":").replace("\n", " ")
        return Plugin(name, distribution, version, "broken", reason)
    return Plugin(name, distribution, version, "loaded", "", offers)


def _checked(kind: str, value: Any) -> dict[str, Any]:
    """What a hook returned, if it is what it must return. Raises TypeError naming hook, entry and expectation."""
    hook = f"{PROJECT}_{kind}"
    if not isinstance(value, Mapping):
        raise TypeError(f"{hook} must return a mapping of name to what it offers, found {type(value).__name__}")
    for name, item in value.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"{hook}: names must be non-empty strings, found {name!r}")
        problem = _problem(kind, name, item)
        if problem:
            raise TypeError(f"{hook}[{name!r}]: {problem}")
    return {name: Path(item) if kind == "recipes" else item for name, item in value.items()}


def _problem(kind: str, name: str, item: Any) -> str | None:
    if kind == "recipes":
        ok = isinstance(item, str | Path) and Path(item).is_file()
        return None if ok else f"expected the path of a YAML file that exists, found {item!r}"
    if kind == "commands":
        ok = any(f"{base.__module__}.{base.__name__}" == "click.core.Command" for base in type(item).__mro__)
        return None if ok else f"expected a click.Command, found {type(item).__name__}"
    if not (inspect.isclass(item) and issubclass(item, Description)):
        return f"expected a subclass of Description, found {item!r}"
    base = BASES.get(kind)
    if base and not any(f"{cls.__module__}.{cls.__qualname__}" == base for cls in item.__mro__):
        return f"expected a subclass of {base}, found {item.__qualname__}"
    if inspect.isabstract(item):
        missing = ", ".join(sorted(item.__abstractmethods__))
        return f"{item.__qualname__} is abstract; it lacks {missing}"
    declared = item.model_fields["type"].default if "type" in item.model_fields else None
    if declared != name:
        return f'{item.__qualname__} must declare `type: Literal["{name}"] = "{name}"`, found {declared!r}'
    return None


def _distribution(entry: Entry) -> tuple[str, str]:
    """Name and version of the distribution that an entry point belongs to, as far as they can be read."""
    try:
        return str(entry.dist.name), str(entry.dist.version)
    except Exception:
        return "unknown distribution", "?"


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())
