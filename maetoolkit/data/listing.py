"""Finding the files of a folder source and joining them by key; every refusal says what is there instead."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from maetoolkit.errors import ConfigError, DataError

if TYPE_CHECKING:
    from maetoolkit.modality import Modality, ModalitySet

log = logging.getLogger(__name__)

MOST_NAMES = 8


def is_folder(path: Path, setting: str) -> bool:
    """Whether there is such a folder. Raises DataError, with the setting that named it, where that cannot be known."""
    try:
        return path.is_dir()
    except OSError as error:
        remedy = "give one that this user may read, or change its permissions"
        raise DataError(f"{setting}: {path} cannot be read ({error.strerror}); {remedy}") from error


def check_root(root: Path) -> None:
    """Raise DataError where the root is no folder, with the nearest one that exists and what lies in it."""
    try:
        if root.is_dir():
            return
        if root.exists():
            raise DataError(f"data.root: expected a folder, found a file: {root}")
        parent = next(folder for folder in root.absolute().parents if folder.is_dir())
    except OSError as error:
        raise DataError(f"data.root: {root} cannot be read ({error.strerror})") from error
    raise DataError(f"data.root: {root} does not exist; {contents(parent, root.name)}")


def find_split(root: Path, split: str | None) -> Path:
    """The folder that holds the modality folders. Raises DataError where `split` is not there."""
    folder = root if split is None else root / split
    if not is_folder(folder, "data.split"):
        raise DataError(
            f"data.split: {folder} does not exist; {contents(root, str(split))} "
            "(data.split=null where the modality folders lie in the root itself)"
        )
    return folder


def contents(folder: Path, wanted: str) -> str:
    """What is there: the folders below `folder`, the one most like `wanted` first."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        return f"{folder} cannot be listed ({error.strerror})"
    near = get_close_matches(wanted, names, n=1)
    shown = ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")
    return (
        f"did you mean {near[0]!r}? " if near else ""
    ) + f"{folder} has {f'the folders {shown}' if names else 'no folder'}"


def list_stream(folder: Path, stream: str, name: str, modality: Modality) -> dict[str, str]:
    """key -> suffix of every file of one modality.

    Raises DataError where the folder is missing, a key comes twice, or a name is not UTF-8.
    """
    suffixes = modality.suffixes
    if not suffixes:
        raise ConfigError(f"modalities.{name}: type {modality.type!r} cannot be read from files")  # type: ignore[attr-defined]
    base = folder / stream
    if not is_folder(base, f"data.streams.{name}"):
        raise DataError(
            f"{base} does not exist, expected the files of modality {name!r}; {contents(folder, stream)} "
            f"(data.streams.{name}=FOLDER reads another one)"
        )
    found: dict[str, str] = {}
    for path in _walk(base):
        length = max((len(suffix) for suffix in suffixes if path.lower().endswith(suffix)), default=0)
        if not length:
            continue
        stem, suffix = path[:-length], path[-length:]
        if not path.isascii():
            _check_unicode(base, path)
        if stem in found:
            raise DataError(
                f"{base}: two files have the key {stem!r}, {stem}{found[stem]} and {path}; remove one of them"
            )
        found[stem] = suffix
    return found


def _check_unicode(base: Path, path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise DataError(f"{base}: the file name {path!r} is not UTF-8; rename it") from None


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed ({error.strerror})") from error


def _walk(base: Path) -> list[str]:
    """Paths of all files below `base`, relative to it, sorted; hidden ones and folders linked in a circle left out."""
    paths, seen = [], set()
    for folder, folders, files in os.walk(base, onerror=_refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        prefix = Path(folder).relative_to(base).as_posix()
        prefix = "" if prefix == "." else f"{prefix}/"
        paths += [f"{prefix}{name}" for name in files if not name.startswith(".")]
    return sorted(paths)


def join(
    files: Mapping[str, Mapping[str, str]], modalities: ModalitySet, folder: Path, missing: Literal["error", "absent"]
) -> list[str]:
    """The keys of the samples, sorted. A key without any entry the encoder may be given is no sample.

    Raises DataError where there is no file at all, or a file is missing and `missing` is "error".
    """
    if not any(files.values()):
        looked = "; ".join(f"{name}: {' '.join(modalities[name].suffixes)}" for name in files)
        there = sorted({Path(name).suffix.lower() for _, _, names in os.walk(folder) for name in names} - {""})
        found = f"there are only files with {' '.join(there[:MOST_NAMES])}" if there else "there is no file at all"
        raise DataError(f"{folder}: empty dataset; looked below the modality folders for {looked}; {found}")
    every = sorted(set().union(*files.values()))
    lacking = {name: [key for key in every if key not in found] for name, found in files.items()}
    lacking = {name: keys for name, keys in lacking.items() if keys}
    count = ", ".join(f"{name} {len(keys)}" for name, keys in lacking.items())
    if lacking and missing == "error":
        name, keys = next(iter(lacking.items()))
        has = next(other for other in files if keys[0] in files[other])
        joined = "" if set.intersection(*(set(found) for found in files.values())) else "; no key is in all of them"
        raise DataError(
            f"{folder}: sample {keys[0]!r} has {has} but no {name}; of {len(every)} keys, missing: {count}{joined} "
            "(data.missing=absent trains with what is there)"
        )
    keys = [key for key in every if any(key in files[name] for name in modalities.inputs)]
    if not keys:
        raise DataError(f"{folder}: no file of an input modality ({', '.join(modalities.inputs)}) found")
    if lacking:
        dropped = f"; {len(every) - len(keys)} without any input left out" if len(keys) < len(every) else ""
        log.warning("%s: %d samples, missing files: %s%s", folder, len(keys), count, dropped)
    return keys
