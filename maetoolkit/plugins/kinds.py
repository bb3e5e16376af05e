"""What plugins offer, by kind and name, and whose it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from maetoolkit.description import Description
from maetoolkit.errors import ConfigError
from maetoolkit.hookspecs import KINDS, PROJECT

if TYPE_CHECKING:
    import click

    from maetoolkit.masking.sampler import Masking
    from maetoolkit.modality import Modality

T = TypeVar("T")
BLOCK = "MAETOOLKIT_BLOCK"


@dataclass(frozen=True)
class Plugin:
    """One installed plugin: who made it, what it offers (kind -> name -> thing), and why it cannot be used, if so.

    api: the version of the plugin API that it declares, as text; empty where it declares none.
    heavy: loading it imported torch, which makes every command wait for seconds.
    changed: what of the process it had changed as it was loaded, and was put back.
    remedy: what to do where it is broken, if the reason does not say.
    """

    name: str
    distribution: str
    version: str
    status: Literal["loaded", "broken", "blocked", "missing"]
    reason: str = ""
    offers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    api: str = ""
    heavy: bool = False
    changed: tuple[str, ...] = ()
    remedy: str = ""

    @property
    def builtin(self) -> bool:
        """Whether these are the built-ins."""
        return self.distribution == PROJECT and self.name == "builtin"

    @property
    def owner(self) -> str:
        """Name, distribution and version where it has them, for messages."""
        origin = f" ({self.distribution} {self.version})" if self.distribution else ""
        return f"plugin {self.name!r}{origin}"


def singular(kind: str) -> str:
    """What one of a kind is called: modality, sampler, ..."""
    return kind.removesuffix("ies") + "y" if kind.endswith("ies") else kind.removesuffix("s")


class UnknownNameError(ConfigError, KeyError):
    """A name that nobody offers, or that two plugins do."""

    __str__ = Exception.__str__


class Kind(Mapping[str, T], Generic[T]):
    """What there is of one kind, by name.

    A name that two plugins claim belongs to neither; one that a built-in has stays the built-in's.
    """

    def __init__(self, kind: str, plugins: Iterable[Plugin]) -> None:
        self.kind = kind
        self.owners: dict[str, list[Plugin]] = {}
        self._plugins = tuple(plugins)
        for plugin in self._plugins:
            for name in plugin.offers.get(kind, ()):
                self.owners.setdefault(name, []).append(plugin)

    def __getitem__(self, name: str) -> T:
        owner = self.owner(name)
        if owner is None:
            raise UnknownNameError(self.explain(name))
        return owner.offers[self.kind][name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.owners if self.owner(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def owner(self, name: str) -> Plugin | None:
        """The plugin whose thing it is that has this name; None where there is none, or two claim it."""
        owners = self.owners.get(name, [])
        return owners[0] if owners and (len(owners) == 1 or owners[0].builtin) else None

    def explain(self, name: str) -> str:
        """Why `name` cannot be had: two owners, a near miss, or a plugin that could not be loaded."""
        owners = self.owners.get(name, [])
        if len(owners) > 1:
            both = " and ".join(plugin.owner for plugin in owners)
            remedy = f"uninstall one or set {BLOCK} to its name"
            if owners[0].builtin:
                remedy = "the built-in one is used; the plugin must call its own otherwise"
            return f"{singular(self.kind)} {name!r} is offered by {both}; {remedy}"
        near = get_close_matches(name, self, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        unknown, there = f"unknown {singular(self.kind)} {name!r}", f"there are: {', '.join(self)}"
        lost = [f"{p.owner} is {p.status}: {p.reason}" for p in self._plugins if p.status != "loaded"]
        if self.kind != "recipes":
            return "; ".join([unknown, hint + there, *lost])
        if lost:  # whose recipes have names of their own, so that one like it is not what was meant
            return "; ".join([unknown, *lost, there])
        return f"{unknown}; {hint}a plugin that offers it may not be installed; {there}"


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
        """One line per plugin that cannot be used or troubles all others, and per name with two owners."""
        broken = [
            f"{p.owner}: {p.reason}" + (f"; {p.remedy}" if p.remedy else "")
            for p in self.plugins
            if p.status in ("broken", "missing")
        ]
        broken += [
            f"{p.owner}: loading it changed {' and '.join(p.changed)}, which it must not; put back as it was"
            for p in self.plugins
            if p.changed
        ]
        broken += [
            f"{p.owner}: loading it imports torch, which makes every command slow; import it in methods"
            for p in self.plugins
            if p.heavy
        ]
        kinds: list[Kind[Any]] = [getattr(self, kind) for kind in KINDS]
        return tuple(broken + [k.explain(n) for k in kinds for n, owners in k.owners.items() if len(owners) > 1])
