"""The law that a modality changes nothing it is given and remembers nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from typing import Any

import numpy as np
import torch

from maetoolkit.modality import Geometry
from maetoolkit.testing.case import SUBJECT, ModalityCase
from maetoolkit.testing.law import law, require
from maetoolkit.testing.outcome import present_rows


@law(
    "pure",
    why="Samples are read again in later epochs, one field serves several outputs, and a resumed run must repeat what "
    "the first would have done.",
    see="value = case.raw(0); before = value.copy()\n"
    "case.data.transform(value, Geometry(path=(0, 'key'))); (value == before).all()",
)
def pure(case: ModalityCase) -> None:
    """Every method gives the same bits when it is asked again, changes nothing it is given, and neither reads nor
    moves a global random state; the random choices of `transform` come from `geometry.random` alone."""
    data, raw = case.data, case.raw(0)
    geometries = {"in evaluation": Geometry(), "in training": Geometry(path=(case.seed, 0, "sample 0"))}
    value = case.transformed(0)
    for when, geometry in geometries.items():
        _ask(f"`transform` {when}", data.transform, raw, geometry)
        other = Geometry(path=(case.seed, 0, "sample 1"))
        again = data.transform(raw, geometry)
        data.transform(case.raw(1), other)
        same = _same(again, data.transform(raw, geometry))
        require(same, f"`transform` {when} depends on what was transformed before")
    field = _ask("`collate`", data.collate, [value, None, case.transformed(1)])
    prepared = _ask("`prepare`", data.prepare, field)
    patches = _ask("`patchify`", data.patchify, prepared)
    rows = present_rows(patches)
    values, places = patches.values.flatten(0, 1)[rows], patches.positions.flatten(0, 1)[rows]
    model = case.model().eval()
    if case.entry in model.tokenizers:
        _ask("the tokenizer", model.tokenizers[case.entry], values)
        _ask("the position module", model.positions[case.entry], places, patches.grid)
    if SUBJECT in case.modalities.outputs:
        content = values if case.modality.taught_by() is None else case.taught(len(rows))
        target = _ask("`target`", case.modality.target, content)
        prediction = _ask("the head", model.heads[SUBJECT], case.features(len(rows)))
        valid = None if patches.valid is None else patches.valid.flatten(0, 1)[rows]
        valid = valid if content is values else None
        _ask("`token_loss`", case.modality.token_loss, prediction.detach(), target, valid)
    batch = case.batch(case.fields())
    _ask("the model", lambda given: model(given).losses, batch)


def _ask(what: str, method: Callable[..., Any], *given: Any) -> Any:
    """The answer, after making sure that asking twice changes neither what was given nor the answer."""
    before = _copy(given)
    with undisturbed(what):
        first, second = method(*given), method(*given)
    require(_same(before, given), f"{what} changes what it is given")
    require(_same(first, second), f"{what} gives something else when asked again")
    return first


@contextmanager
def undisturbed(what: str) -> Iterator[None]:
    """Raise LawError where a global random state is moved."""
    states = np.random.get_state(), torch.get_rng_state(), random.getstate()
    yield
    require(torch.equal(states[1], torch.get_rng_state()), f"{what} moves torch's global random state")
    require(states[2] == random.getstate(), f"{what} moves Python's global random state")
    same = all(np.array_equal(a, b) for a, b in zip(states[0], np.random.get_state(), strict=True))
    require(same, f"{what} moves numpy's global random state")


def _copy(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Mapping):
        return {name: _copy(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _copy(getattr(value, f.name)) for f in dataclass_fields(value)}
    return value


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same bits, whatever holds them; NaN is NaN."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and _same(one.detach().cpu().numpy(), other.detach().cpu().numpy())
    if isinstance(one, np.ndarray):
        if not isinstance(other, np.ndarray) or one.dtype != other.dtype or one.shape != other.shape:
            return False
        return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
    if is_dataclass(other) and not isinstance(other, type):
        other = {f.name: getattr(other, f.name) for f in dataclass_fields(other)}
    if is_dataclass(one) and not isinstance(one, type):
        one = {f.name: getattr(one, f.name) for f in dataclass_fields(one)}
    if isinstance(one, Mapping):
        return isinstance(other, Mapping) and one.keys() == other.keys() and all(_same(one[n], other[n]) for n in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)
