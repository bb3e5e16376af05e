"""The hooks of the toolkit, one per kind of thing a plugin can add; the only file that knows pluggy.

A plugin is an installed package with an entry point in group `maetoolkit` that names a module (or object) with some of
these functions, each marked with `@hookimpl`. Every one returns what it adds by name; none of them may import torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    import click

    from maetoolkit.description import Description
    from maetoolkit.masking.sampler import Masking
    from maetoolkit.modality import Modality

PROJECT = "maetoolkit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """What a plugin may implement; every hook is optional."""

    @hookspec
    def maetoolkit_modalities(self) -> Mapping[str, type[Modality]]:
        """Kinds of data, by the `type` a recipe uses."""
        raise NotImplementedError

    @hookspec
    def maetoolkit_samplers(self) -> Mapping[str, type[Masking]]:
        """Mask samplers, by `masking.type`."""
        raise NotImplementedError

    @hookspec
    def maetoolkit_encoders(self) -> Mapping[str, type[Description]]:
        """Shared encoders, by `encoder.type`."""
        raise NotImplementedError

    @hookspec
    def maetoolkit_decoders(self) -> Mapping[str, type[Description]]:
        """Decoders, by `decoder.type`."""
        raise NotImplementedError

    @hookspec
    def maetoolkit_targets(self) -> Mapping[str, type[Description]]:
        """Things a head may predict that are derived from the data, such as a teacher's features."""
        raise NotImplementedError

    @hookspec
    def maetoolkit_objectives(self) -> Mapping[str, type[Description]]:
        """Ways in which token losses become one number, by `objective.type`."""
        raise NotImplementedError

    @hookspec
    def maetoolkit_sources(self) -> Mapping[str, type[Description]]:
        """Where samples come from, by `data.type`."""
        raise NotImplementedError

    @hookspec
    def maetoolkit_callbacks(self) -> Mapping[str, type[Description]]:
        """Things that happen during training, by name."""
        raise NotImplementedError

    @hookspec
    def maetoolkit_recipes(self) -> Mapping[str, Path | str]:
        """Recipe files by the name that `maetool pretrain NAME` uses."""
        raise NotImplementedError

    @hookspec
    def maetoolkit_commands(self) -> Mapping[str, click.Command]:
        """Further commands of `maetool`."""
        raise NotImplementedError


KINDS: tuple[str, ...] = tuple(name.removeprefix(f"{PROJECT}_") for name in vars(Hooks) if name.startswith(PROJECT))


def call(plugin: object) -> Iterator[tuple[str, Any]]:
    """Call one plugin's hooks by themselves, as (kind, returned value); an error therefore has an owner.

    Raises TypeError where a function is marked as a hook that does not exist or takes arguments.
    """
    if inspect.isclass(plugin):
        plugin = plugin()
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    try:
        manager.register(plugin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise TypeError(_explain(manager, plugin, error)) from None
    for kind in KINDS:
        for value in getattr(manager.hook, f"{PROJECT}_{kind}")():
            yield kind, value


def _explain(manager: pluggy.PluginManager, plugin: object, error: pluggy.PluginValidationError) -> str:
    """Say which marked function is no hook, and which hook was probably meant."""
    known = [f"{PROJECT}_{kind}" for kind in KINDS]
    for name in dir(plugin):
        if name not in known and manager.parse_hookimpl_opts(plugin, name) is not None:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            return f"{name} is marked as a hook but there is no such hook; {hint}hooks: {', '.join(known)}"
    return str(error).replace("\n", " ")
