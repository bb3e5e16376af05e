"""log.jsonl: one JSON object per logged step, and TensorBoard beside it where that is installed."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from maetoolkit.train.directory import readable, write_atomically

LOG_NAME = "log.jsonl"


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log file; a line that was cut short by a crash is left out. Raises DataError."""
    records = []
    with readable(path):
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records


class Log:
    """The log of a run directory, continued behind step `start`: what a dead run logged beyond it is dropped.

    Every line is flushed as it is written, and `sync` puts them on the disk.
    """

    def __init__(self, directory: Path, start: int = 0) -> None:
        path = directory / LOG_NAME
        kept = [record for record in read_log(path) if record["step"] <= start]
        if path.exists():
            write_atomically(path, "".join(_line(record) for record in kept))
        self._file: IO[str] = path.open("a", encoding="utf-8")
        self._board = _board(directory / "tensorboard", start)

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record, which holds `step`."""
        self._file.write(_line(record))
        self._file.flush()
        if self._board is not None:
            for name, value in record.items():
                if name != "step":
                    self._board.add_scalar(name, value, record["step"])

    def sync(self) -> None:
        """Return once all that was written is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """Write out everything and close the files."""
        self.sync()
        self._file.close()
        if self._board is not None:
            self._board.close()


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(dict(record)) + "\n"


def _board(directory: Path, start: int) -> Any:
    """A TensorBoard writer, or None: it is an extra, and must never keep a run from starting."""
    try:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(directory), purge_step=start + 1 if start else None)
    except ImportError:
        return None
    except Exception as error:
        warnings.warn(f"no TensorBoard log: {error}", stacklevel=2)
        return None
