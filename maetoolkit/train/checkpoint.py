"""Checkpoints: directories of safetensors and JSON that are whole or not there; the newest valid one is resumed.

Order of a save: files written and synced, manifest last, directory synced, renamed, parent synced, old ones pruned.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maetoolkit.errors import DataError
from maetoolkit.train.directory import readable, sync_directory, write_synced

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
MANIFEST, STATE, MODEL, OPTIMIZER = "manifest.json", "state.json", "model.safetensors", "optimizer.safetensors"
TEACHERS = "teachers.safetensors"
REQUIRED = frozenset({STATE, MODEL, OPTIMIZER})
_NAME = re.compile(r"step-([0-9]+)")
_TEMPORARY = ".unfinished-"


class NoValidCheckpoint(DataError):  # noqa: N818
    """There are checkpoints, and none can be trusted."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: weights by name, optimizer state by parameter name, and `state` (step, versions).

    teachers: weights of the teachers that move with the run, where there are any.
    """

    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    state: Mapping[str, Any]
    teachers: Mapping[str, Tensor] = field(default_factory=dict)


def steps(directory: Path) -> list[tuple[int, Path]]:
    """(step, path) of all finished checkpoints in `directory`, newest first; by number, never by name or time."""
    found = []
    with readable(directory):
        for path in directory.iterdir() if directory.is_dir() else ():
            if (match := _NAME.fullmatch(path.name)) and path.is_dir():
                found.append((int(match[1]), path))
    return sorted(found, reverse=True)


def save(directory: Path, step: int, checkpoint: Checkpoint, keep: int = 2) -> Path:
    """Write `step-<step>` in `directory`, then delete what is older than the newest `keep` valid ones.

    Raises DataError where a tensor is not finite or the disk does not take it; what was there before stays as it was.
    """
    from safetensors import SafetensorError

    for name, tensor in (*checkpoint.model.items(), *checkpoint.optimizer.items(), *checkpoint.teachers.items()):
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise DataError(f"step {step}: {name!r} is not finite; no checkpoint written, the older ones are untouched")
    final, temporary = directory / f"step-{step}", directory / f"{_TEMPORARY}step-{step}"
    try:
        directory.mkdir(exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        _write(temporary, step, checkpoint)
        if final.exists():  # it was there and not valid, or this step would not have been taken again
            damaged = directory / f"{_TEMPORARY}damaged-{step}"
            shutil.rmtree(damaged, ignore_errors=True)
            final.rename(damaged)
        temporary.rename(final)
        sync_directory(directory)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise DataError(_full(directory, step, checkpoint, error)) from error
    prune(directory, max(2, keep), trusted=step)
    return final


def prune(directory: Path, keep: int, trusted: int | None = None) -> None:
    """Delete unfinished saves, and all that is older than the newest `keep` valid checkpoints."""
    for path in directory.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)
    valid = 0
    for step, path in steps(directory):
        if valid >= keep:
            shutil.rmtree(path, ignore_errors=True)
        elif step == trusted or problem(path) is None:
            valid += 1


def newest_valid(directory: Path) -> tuple[Path | None, list[tuple[str, str]]]:
    """The newest checkpoint that can be trusted, and (name, reason) of each newer one; (None, []) where there is none.

    Raises NoValidCheckpoint where there are some and all are damaged: a run never silently starts again.
    """
    skipped: list[tuple[str, str]] = []
    for _, path in steps(directory):
        reason = problem(path)
        if reason is None:
            return path, skipped
        skipped.append((path.name, reason))
    if skipped:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped)
        raise NoValidCheckpoint(
            f"{directory}: none of {len(skipped)} checkpoints is valid ({reasons}). Restore one from a copy, "
            "or move this folder away to start again from step 0"
        )
    return None, skipped


def problem(path: Path) -> str | None:
    """Why a checkpoint cannot be trusted, or None. Raises DataError where a newer maetoolkit wrote it."""
    try:
        raw = (path / MANIFEST).read_bytes()
        manifest = json.loads(raw)
        if not isinstance(manifest, dict) or _manifest(manifest.get("content", {})).encode() != raw:
            return f"{MANIFEST} is damaged"
        content = manifest["content"]
        if content["format"] > FORMAT:
            raise DataError(
                f"{path}: format {content['format']}, but this maetoolkit reads checkpoints up to {FORMAT}; upgrade it"
            )
        if path.name != f"step-{content['step']}" or not content["files"].keys() >= REQUIRED:
            return f"{MANIFEST} belongs to another checkpoint"
        for name, expected in content["files"].items():
            found = (path / name).stat().st_size
            if found != expected["size"]:
                return f"{name} has {found:,} bytes, expected {expected['size']:,}"
            if _digest(path / name) != expected["sha256"]:
                return f"{name} does not match its checksum"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        return f"{MANIFEST} is damaged"
    return None


def load(path: Path) -> Checkpoint:
    """Read a checkpoint that `newest_valid` gave."""
    from safetensors.torch import load_file

    state = json.loads((path / STATE).read_text(encoding="utf-8"))
    teachers = load_file(path / TEACHERS) if (path / TEACHERS).exists() else {}
    return Checkpoint(load_file(path / MODEL), load_file(path / OPTIMIZER), state, teachers)


def _write(directory: Path, step: int, checkpoint: Checkpoint) -> None:
    from safetensors.torch import save_file

    def tensors(values: Mapping[str, Tensor]) -> Callable[[Path], None]:
        whole = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in values.items()}
        return lambda path: save_file(whole, path)

    writers: dict[str, Callable[[Path], None]] = {
        MODEL: tensors(checkpoint.model),
        OPTIMIZER: tensors(checkpoint.optimizer),
        STATE: lambda path: write_synced(path, json.dumps(dict(checkpoint.state), indent=1) + "\n"),
    }
    if checkpoint.teachers:
        writers[TEACHERS] = tensors(checkpoint.teachers)
    files = {}
    for name, write in writers.items():
        write(directory / name)
        (directory / name).chmod(0o644)
        with (directory / name).open("rb+") as file:
            os.fsync(file.fileno())
        files[name] = {"size": (directory / name).stat().st_size, "sha256": _digest(directory / name)}
    write_synced(directory / MANIFEST, _manifest({"format": FORMAT, "step": step, "files": files}))
    sync_directory(directory)


def _manifest(content: Any) -> str:
    """The manifest's exact text; it carries its own hash, so that no damage to it goes unseen."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps({"content": content, "sha256": digest}, indent=1, sort_keys=True) + "\n"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _full(directory: Path, step: int, checkpoint: Checkpoint, error: Exception) -> str:
    """What to say when a save failed: the place, the bytes it takes and the bytes there are."""
    needed = sum(t.numel() * t.element_size() for t in (*checkpoint.model.values(), *checkpoint.optimizer.values()))
    try:
        free = f"{shutil.disk_usage(directory).free:,} bytes are free"
    except OSError:
        free = "the folder cannot be looked at"
    return (
        f"{directory / f'step-{step}'}: cannot be written ({error}); it takes about {needed:,} bytes, {free}. "
        "The older checkpoints are untouched: make room and give the same command again"
    )
