"""Running the laws on everything a plugin offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from maetoolkit.errors import ConfigError
from maetoolkit.modalities.grid import GridModality
from maetoolkit.modality import Modality
from maetoolkit.plugins import Plugin, registry
from maetoolkit.testing.case import ModalityCase
from maetoolkit.testing.check import LAWS, Case
from maetoolkit.testing.decoder_case import DecoderCase
from maetoolkit.testing.law import Verdict, judge
from maetoolkit.testing.sampler_case import SamplerCase
from maetoolkit.testing.source_case import SourceCase
from maetoolkit.testing.targets import TargetCase

SUBJECTS: dict[str, tuple[type[Any], str]] = {  # kind -> its case, and the case's field that holds what is tried
    "modalities": (ModalityCase, "modality"),
    "samplers": (SamplerCase, "masking"),
    "decoders": (DecoderCase, "description"),
    "sources": (SourceCase, "description"),
    "targets": (TargetCase, "description"),
}
CASE = "case"  # the name of the verdict on a case that cannot be made


def check_plugin(name: str, seed: int = 0) -> list[tuple[str, list[Verdict]]]:
    """Try all laws on everything that the plugin of this name, or of this distribution, offers.

    The cases are those of its hook `maetoolkit_cases`; what none of them is about is tried with default settings.
    Returns what was tried with its verdicts; nothing is raised for broken laws: look at `Verdict.fine`.
    Raises ConfigError where there is no such plugin, or it cannot be loaded.
    """
    plugin = _find(name)
    tried: list[tuple[str, list[Verdict]]] = []
    subjects: set[tuple[type, type]] = set()
    for label, make in plugin.offers.get("cases", {}).items():
        tried += _try(label, make, seed, subjects)
    for kind, (case, field) in SUBJECTS.items():
        for offered, description in plugin.offers.get(kind, {}).items():
            if (case, description) not in subjects:
                tried += _by_default(f"{kind}.{offered}", case, field, description, seed)
    return tried


def _find(name: str) -> Plugin:
    plugins = registry().plugins
    found = [plugin for plugin in plugins if name in (plugin.name, plugin.distribution)]
    if not found:
        near = get_close_matches(name, [n for p in plugins for n in (p.name, p.distribution)], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"no plugin {name!r} is installed; {hint}there are: {', '.join(plugin.name for plugin in plugins)}"
        )
    if found[0].status != "loaded":
        raise ConfigError(f"{found[0].owner} is {found[0].status}: {found[0].reason}")
    return found[0]


def _try(
    label: str, make: Callable[[], Any], seed: int, subjects: set[tuple[type, type]]
) -> Iterator[tuple[str, list[Verdict]]]:
    try:
        case = make()
    except Exception as error:
        yield label, [Verdict(CASE, False, f"maetoolkit_cases[{label!r}]() failed: {type(error).__name__}: {error}")]
        return
    if type(case) not in LAWS:
        expected = ", ".join(kind.__name__ for kind in LAWS)
        found = f"maetoolkit_cases[{label!r}]() gave {type(case).__name__}; expected one of {expected}"
        yield label, [Verdict(CASE, False, found)]
        return
    for kind, field in SUBJECTS.values():
        if type(case) is kind:
            subjects.add((kind, type(getattr(case, field))))
    yield from ((f"{label}{more}", _judged(one)) for more, one in _variants(replace(case, seed=case.seed + seed)))


def _variants(case: Case) -> Iterator[tuple[str, Case]]:
    """Samplers are tried with whole entries absent and with single tokens."""
    yield "", case
    if isinstance(case, SamplerCase) and not case.single:
        yield " (single tokens absent)", replace(case, single=True)


def _judged(case: Case) -> list[Verdict]:
    try:
        return judge(LAWS[type(case)], case)
    except ValueError as error:  # a declaration that names no law
        return [Verdict(CASE, False, str(error))]


def _by_default(
    label: str, kind: type[Any], field: str, description: type[Any], seed: int
) -> Iterator[tuple[str, list[Verdict]]]:
    """What comes of a description with its default settings, or why it cannot be tried without a case."""
    remedy = "state a case in `maetoolkit_cases`"
    if kind is SourceCase:
        yield label, [Verdict(CASE, None, f"a source needs data and modalities to read: {remedy}")]
        return
    try:
        described = description()
        more: dict[str, Any] = {}
        if kind is ModalityCase:
            described = _small(described)
            more = {"source": _small(registry().modalities[described.of]())} if described.of is not None else {}
        case = kind(**{field: described}, seed=seed, **more)
        _must_be_possible(case)
    except Exception as error:
        reason = " ".join(str(error).split())
        yield label, [Verdict(CASE, None, f"{description.__name__} cannot be tried by default: {remedy} ({reason})")]
        return
    yield from ((f"{label}{more}", _judged(one)) for more, one in _variants(case))


def _small(modality: Modality) -> Modality:
    """Two patches along every axis are enough to break a law, and many times faster than a whole volume."""
    if not isinstance(modality, GridModality):
        return modality
    try:
        return modality.replace(size=tuple(2 * side for side in modality.extent(modality.patch)))
    except ValueError:  # settings that go by the size
        return modality


def _must_be_possible(case: Case) -> None:
    """Raise an error where the default settings, or values made up for them, are not what this description takes."""
    if isinstance(case, ModalityCase):
        case.patches(1)
    elif isinstance(case, SamplerCase):
        case.masking.check(case.entries)
    elif isinstance(case, DecoderCase):
        case.setting  # noqa: B018
