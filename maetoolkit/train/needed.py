"""The plugins that a recipe needs: recorded with a run, asked for by name where they are gone."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from maetoolkit.plugins import Registry
from maetoolkit.plugins.kinds import singular

if TYPE_CHECKING:
    from maetoolkit.train.recipe import Recipe

logger = logging.getLogger("maetoolkit")
_REQUIREMENT = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)((?:[=<>!~]=|[<>])[A-Za-z0-9.*+!_-]+)?")


def _requirement(text: str) -> str:
    if not _REQUIREMENT.fullmatch(text):
        raise ValueError(f"found {text!r}; expected a distribution, such as maetoolkit-text or maetoolkit-text==0.1.0")
    return text


Requirement = Annotated[str, AfterValidator(_requirement)]
"""A distribution by name, with a version where that matters: `maetoolkit-text==0.1.0`."""


def needed(recipe: Recipe, known: Registry) -> dict[str, str]:
    """What a recipe uses that is not built in: `kind.type` -> `distribution==version`, at whatever depth it is used."""
    from maetoolkit.train.slots import slots

    found = {}
    for _, kind, name in slots(recipe.document(), known):
        owner = getattr(known, kind).owner(name)
        if owner is not None and not owner.builtin and owner.distribution:
            found[f"{kind}.{name}"] = f"{owner.distribution}=={owner.version}"
    return dict(sorted(found.items()))


def lost(kind: str, name: str, stated: Any, known: Registry) -> str | None:
    """Who offers a thing that nobody here does, as far as a recipe's `plugins` state it, and how to get it."""
    requirement = stated.get(f"{kind}.{name}") if isinstance(stated, Mapping) else None
    if name in getattr(known, kind) or not isinstance(requirement, str) or not _REQUIREMENT.fullmatch(requirement):
        return None
    distribution, install = _split(requirement)[0], f"pip install {shlex.quote(requirement)}"
    here = [plugin for plugin in known.plugins if _same(plugin.distribution, distribution)]
    says = f"unknown {singular(kind)} {name!r}; {distribution} offers it"
    if not here:
        return f"{says} and is not installed: {install}"
    if here[0].status == "loaded":
        return f"{says} in another version than {here[0].version}, which is installed: {install}"
    return f"{says} and is {here[0].status}: {here[0].reason}"


def warn_of_drift(recipe: Recipe, known: Registry) -> None:
    """Log a warning, once each, for every thing that another plugin, or another version of it, offered at the time."""
    if not recipe.plugins:
        return
    for key, here in needed(recipe, known).items():
        stated = recipe.plugins.get(key, here)
        (distribution, version), (owner, number) = _split(stated), _split(here)
        if not _same(distribution, owner) or (version and version != number):
            _warn(
                f"{recipe.name}: plugins: {key}: made with {stated}, here it is {here}; results may differ; "
                f"for the same: pip install {shlex.quote(stated)}"
            )


@lru_cache(maxsize=256)
def _warn(message: str) -> None:
    logger.warning(message)


def _split(requirement: str) -> tuple[str, str]:
    """Distribution, and its version where exactly one is asked for."""
    name, _, version = requirement.partition("==")
    return re.split("[=<>!~]", name)[0], "" if "*" in version else version


def _same(a: str, b: str) -> bool:
    """Whether two names are one distribution (PEP 503)."""
    plain = [re.sub(r"[-_.]+", "-", name).lower() for name in (a, b)]
    return plain[0] == plain[1]
