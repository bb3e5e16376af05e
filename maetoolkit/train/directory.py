"""The run directory: who holds it, what it belongs to, and files that are whole or not there."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maetoolkit.errors import ConfigError, DataError

if TYPE_CHECKING:
    from maetoolkit.train.recipe import Recipe

LOCK_NAME, RECIPE_NAME = ".lock", "recipe.yaml"

_held: set[int] = set()


def _let_go() -> None:
    """In a forked child: a loader's worker that outlives a killed run must not keep its directory locked."""
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go)


def sync_directory(path: Path) -> None:
    """Put the names in a directory on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, text: str) -> None:
    """Write a new file and put it on the disk."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: Path, text: str) -> None:
    """Replace a file: after a crash at any moment there is the old content or the new, whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    write_synced(temporary, text)
    temporary.replace(path)
    sync_directory(path.parent)


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Create a run directory and hold it alone; the system lets go of it when this process ends, however it does.

    Raises ConfigError where another process holds it (named), or nothing can be written in it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigError(
            f"run: cannot write in {str(directory)!r} ({error.strerror}); expected a directory that this user "
            "may write in; choose another one with run=DIR"
        ) from None
    _held.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"run: {str(directory)!r} is in use by {_holder(handle)}; wait for it, stop it, or choose another "
                "directory with run=DIR"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"run: cannot lock {str(directory / LOCK_NAME)!r} ({error.strerror}); choose a directory on a file "
                "system with locks, with run=DIR"
            ) from None
        note = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(note).encode(), 0)
        yield
        if handle in _held:
            os.ftruncate(handle, 0)
    finally:
        if handle in _held:  # not so in a forked child
            _held.discard(handle)
            os.close(handle)


def _holder(handle: int) -> str:
    """The process that holds a lock; one that has only just taken it is given a moment to say so."""
    for _ in range(20):
        with suppress(ValueError, KeyError):
            note: dict[str, Any] = json.loads(os.pread(handle, 4096, 0))
            return f"process {note['pid']} on {note['host']} (since {note['since']})"
        time.sleep(0.01)
    return "another process"


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the system says of a file or folder of a run that cannot be read into a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); let this user read all files of the run"
        ) from error


def check_recipe(directory: Path, recipe: Recipe) -> None:
    """Raise ConfigError listing what differs where a directory has results of another recipe.

    Settings that do not change a run's numbers may differ. One that never got as far as a result binds nobody.
    """
    from maetoolkit.train.recipe import load_recipe

    path, log = directory / RECIPE_NAME, directory / "log.jsonl"
    trained = any((directory / "checkpoints").glob("step-*"))
    if not path.exists():
        if trained:
            raise ConfigError(
                f"run: {str(directory)!r} has checkpoints but no {RECIPE_NAME}, so it cannot be known whose they are; "
                "put the file back, or choose another directory with run=DIR"
            )
        return
    if not trained and not (log.exists() and log.stat().st_size):
        return
    changes = identity_changes(load_recipe(path).identity(), recipe.identity())
    if changes:
        raise ConfigError(
            f"run: {str(directory)!r} holds another recipe; what it has -> what this one has:\n  "
            + "\n  ".join(changes)
            + "\nChoose another directory with run=DIR, or undo the changes to continue this run"
        )


def write_recipe(directory: Path, recipe: Recipe) -> None:
    """Keep the resolved recipe, with versions, in its run directory. Raises ConfigError where that is not possible."""
    path = directory / RECIPE_NAME
    try:
        write_atomically(path, recipe.with_versions().yaml())
    except OSError as error:
        message = f"run: cannot write {str(path)!r} ({error.strerror}); make room, or choose another one with run=DIR"
        raise ConfigError(message) from None


def identity_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line `key: old -> new` per setting that changes a run's numbers."""
    from maetoolkit.train.write import differences

    if old == new:
        return []
    before, after = [
        {**i, "modalities": {entry["name"]: entry for entry in i.get("modalities", [])}} for i in (old, new)
    ]
    order = f"modalities (order): {list(before['modalities'])} -> {list(after['modalities'])}"
    return differences(before, after) or [order]
