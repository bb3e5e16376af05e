"""HDF5: a file with a dataset per modality, one row per sample, as M3AE's data is kept (JPEG bytes and captions)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from weakref import WeakSet

from pydantic import Field, PositiveFloat

from maetoolkit.data.folder import is_held_out, same_aspect
from maetoolkit.data.source import FolderName, Samples, Source, Subset
from maetoolkit.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from maetoolkit.modality import ModalitySet


class HDF5(Source):
    """An HDF5 file whose datasets have one row per sample: encoded files as bytes, or strings.

    streams: entry name -> dataset, as in `{rgb: jpg, text: caption}`; an entry that is not named has the dataset of its
    own name. A row holds the bytes of a file that the modality reads (uint8 or opaque, of any length), or a string,
    or several strings (captions). An empty row is an absent entry.
    key: dataset with a unique name per row; null counts rows. All randomness of a sample is keyed by it.
    validation: another file, or the share of the rows to hold out (chosen by a hash of the key), or null.
    missing: whether an entry without dataset, and an empty row, is an error or absent.
    """

    type: Literal["hdf5"] = "hdf5"
    file: str
    key: FolderName | None = None
    validation: Annotated[PositiveFloat, Field(lt=1)] | str | None = None
    missing: Literal["error", "absent"] = "absent"

    def open(self, modalities: ModalitySet, subset: Subset) -> Samples | None:  # noqa: D102
        if subset == "train":
            return self._open(self.file, modalities, held_out=False)
        if isinstance(self.validation, str):
            return self._open(self.validation, modalities, held_out=None)
        return None if self.validation is None else self._open(self.file, modalities, held_out=True)

    def _open(self, name: str, modalities: ModalitySet, held_out: bool | None) -> HDF5Samples:
        path = Path(name).expanduser()
        with open_file(path) as file:
            found = {n: _dataset(file, path, d, n, self.missing) for n, d in self.stream_names(modalities).items()}
            datasets = {entry: name for entry, name in found.items() if name is not None}
            if not datasets:
                raise DataError(f"{path}: no entry has a dataset, {_there(file)}; set data.streams, as in rgb: jpg")
            keys = _keys(file, path, self.key, {len(file[dataset]) for dataset in datasets.values()}, datasets)
        rows = list(range(len(keys)))
        if isinstance(self.validation, float) and held_out is not None:
            rows = [row for row in rows if is_held_out(keys[row], self.validation) == held_out]
            if not rows:
                part = "validation" if held_out else "training"
                raise DataError(f"{path}: data.validation={self.validation} leaves no {part} sample; change the share")
        return HDF5Samples(path, datasets, rows, keys, modalities, self.missing)


class HDF5Samples(Samples):
    """The rows of a file, which every process opens for itself when it first reads."""

    def __init__(
        self,
        path: Path,
        datasets: dict[str, str],
        rows: list[int],
        keys: list[str],
        modalities: ModalitySet,
        missing: Literal["error", "absent"],
    ) -> None:
        self.path, self.datasets, self.rows, self.keys = path, datasets, rows, keys
        self.modalities, self.missing = modalities, missing
        self._file: Any = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def key(self, index: int) -> str:  # noqa: D102
        return self.keys[self.rows[index]]

    def read(self, index: int) -> dict[str, np.ndarray | None]:  # noqa: D102
        key, row = self.key(index), self.rows[index]
        values = {name: self._read(name, row, key) for name in self.modalities.fields}
        frames = {name: self.modalities[name].frame(value) for name, value in values.items() if value is not None}
        known = [(name, frame) for name, frame in frames.items() if frame is not None]
        for name, frame in known[1:]:
            first, expected = known[0]
            if not same_aspect(frame, expected):
                raise DataError(
                    f"{self.path}, row {key!r}: expected {name} of the aspect ratio of {first}, "
                    f"{expected[1]}x{expected[0]}, found {frame[1]}x{frame[0]}; crop one of them"
                )
        return values

    def _read(self, name: str, row: int, key: str) -> np.ndarray | None:
        if name not in self.datasets:
            return None
        place = f"{self.path}, {self.datasets[name]} of row {key!r}"
        try:
            data = as_bytes(self._open()[self.datasets[name]][row])
        except (OSError, KeyError) as error:
            raise DataError(f"{place}: cannot be read ({error}); the file may be damaged, copy it again") from error
        if not data and self.missing == "error":
            raise DataError(f"{place}: is empty (data.missing=absent trains with what is there)")
        try:
            return self.modalities[name].read(data) if data else None
        except ValueError as error:
            raise DataError(f"{place}: {error}") from error

    def _open(self) -> Any:
        if self._file is None:
            self._file = open_file(self.path)
            _opened.add(self)
        return self._file

    def close(self) -> None:
        """Let go of the file; the next read opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


_opened: WeakSet[HDF5Samples] = WeakSet()


def _close_all() -> None:
    """HDF5's library must not be forked with open files: both processes would share its state of them."""
    for samples in list(_opened):
        samples.close()
    _opened.clear()


os.register_at_fork(before=_close_all)


def open_file(path: Path) -> Any:
    """The file, for reading. Raises DataError where there is none, or it is no HDF5."""
    import h5py

    if not path.is_file():
        found = "found a folder" if path.is_dir() else "it does not exist"
        raise DataError(f"data.file: expected an HDF5 file, {path}: {found}")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"data.file: {path} cannot be read as HDF5 ({error})") from error


def as_bytes(value: Any) -> bytes:
    """One row as the bytes of a file: bytes, numbers of one byte, a string, or several strings as lines."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    if value.dtype.kind in "OSU":
        return b"\n".join(part for part in map(as_bytes, value.tolist()) if part)
    data: bytes = value.tobytes()
    return data


def _dataset(file: Any, path: Path, dataset: str, entry: str, missing: str) -> str | None:
    """The dataset's name if rows of it can be read; None where it is not there and need not be."""
    import h5py

    if dataset not in file or not isinstance(file[dataset], h5py.Dataset):
        if missing == "absent":
            return None
        raise DataError(f"{path}: no dataset {dataset!r} for {entry}, {_there(file)}; set data.streams.{entry}")
    found = file[dataset]
    kind = h5py.check_vlen_dtype(found.dtype) or found.dtype
    string = h5py.check_string_dtype(found.dtype) is not None
    if not found.shape or not (string or getattr(kind, "kind", "") == "V" or kind == "uint8"):
        raise DataError(
            f"{path}: {dataset!r} of {entry} holds {found.dtype} of shape {found.shape}; expected a row of bytes "
            "(uint8 of any length) or a string per sample"
        )
    return dataset


def _keys(file: Any, path: Path, key: str | None, lengths: set[int], datasets: dict[str, str]) -> list[str]:
    if len(lengths) > 1:
        counts = ", ".join(f"{dataset} {len(file[dataset])}" for dataset in datasets.values())
        raise DataError(f"{path}: the datasets must have one row per sample, found {counts}")
    num = lengths.pop()
    if num == 0:
        raise DataError(f"{path}: the datasets have no rows; expected at least one sample")
    if key is None:
        return [f"{row:08d}" for row in range(num)]
    if key not in file or len(file[key]) != num:
        found = f"{len(file[key])} rows" if key in file else _there(file)
        raise DataError(f"data.key: {path} should have a dataset {key!r} of {num} rows, found {found}")
    keys = [value.decode() if isinstance(value, bytes) else str(value) for value in file[key][:].tolist()]
    if len(set(keys)) < num:
        twice = next(name for row, name in enumerate(keys) if name in keys[:row])
        raise DataError(f"data.key: {path} has {twice!r} twice in {key!r}; expected a name for each row")
    return keys


def _there(file: Any) -> str:
    names = sorted(file)
    return f"there are: {', '.join(names[:8])}" if names else "the file is empty"
