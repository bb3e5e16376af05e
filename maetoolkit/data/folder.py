"""Folder: `root[/<split>]/<modality>/**/<stem>.<ext>`, the files of a sample joined by key, never by position."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from maetoolkit.data.listing import check_root, contents, find_split, is_folder, join, list_stream
from maetoolkit.data.source import FolderName, Samples, Source, Subset
from maetoolkit.errors import DataError
from maetoolkit.randomness import key as hash_key

if TYPE_CHECKING:
    import numpy as np

    from maetoolkit.modality import ModalitySet

Align = Literal["exact", "aspect"]


class Folder(Source):
    """A folder per modality; a sample's key is the path below it without suffix.

    split: folder below `root` that training reads; null where the modality folders lie in `root` itself.
    validation: folder below `root` to validate on, or the share of the training samples to hold out (chosen by a
    hash of the key, so that it stays the same as files are added), or null. The default folder may be missing.
    missing: what a sample is that lacks a file of some modality: an error, or that entry is absent.
    align: the fields of a sample must have the same size ("exact") or the same aspect ratio ("aspect").
    """

    type: Literal["folder"] = "folder"
    root: str
    split: FolderName | None = "train"
    validation: Annotated[float, Field(gt=0, lt=1)] | FolderName | None = "val"
    missing: Literal["error", "absent"] = "error"
    align: Align = "exact"

    def open(self, modalities: ModalitySet, subset: Subset) -> Samples | None:  # noqa: D102
        root = Path(self.root).expanduser()
        check_root(root)
        if subset == "train":
            return self._open(find_split(root, self.split), modalities, held_out=False)
        if isinstance(self.validation, str):
            if is_folder(root / self.validation, "data.validation"):
                return self._open(root / self.validation, modalities, held_out=None)
            if self.validation != type(self).model_fields["validation"].default:
                raise DataError(
                    f"data.validation: {root / self.validation} does not exist; {contents(root, self.validation)}"
                )
            return None
        return None if self.validation is None else self._open(find_split(root, self.split), modalities, held_out=True)

    def _open(self, folder: Path, modalities: ModalitySet, held_out: bool | None) -> FolderSamples:
        names = self.stream_names(modalities)
        files = {name: list_stream(folder, stream, name, modalities[name]) for name, stream in names.items()}
        keys = join(files, modalities, folder, self.missing)
        if isinstance(self.validation, float) and held_out is not None:
            keys = [key for key in keys if is_held_out(key, self.validation) == held_out]
            if not keys:
                part = "validation" if held_out else "training"
                raise DataError(
                    f"{folder}: data.validation={self.validation} leaves no {part} sample; change the share"
                )
        streams = {name: folder / stream for name, stream in names.items()}
        return FolderSamples(streams, files, keys, modalities, self.align)


def is_held_out(key: str, share: float) -> bool:
    """Whether a key belongs to the held-out share: a property of the key alone."""
    return hash_key("validation", key) < share * 2**128


class FolderSamples(Samples):
    """The joined files of a folder; holds names only and opens a file when its sample is read."""

    def __init__(
        self,
        streams: dict[str, Path],
        files: dict[str, dict[str, str]],
        keys: list[str],
        modalities: ModalitySet,
        align: Align,
    ) -> None:
        self.streams, self.files, self.keys, self.modalities, self.align = streams, files, keys, modalities, align

    def __len__(self) -> int:
        return len(self.keys)

    def key(self, index: int) -> str:  # noqa: D102
        return self.keys[index]

    def path(self, name: str, key: str) -> Path | None:
        """The file of an entry of a sample; None where it is missing."""
        suffix = self.files[name].get(key)
        return None if suffix is None else self.streams[name] / f"{key}{suffix}"

    def read(self, index: int) -> dict[str, np.ndarray | None]:  # noqa: D102
        key = self.keys[index]
        values = {name: self._read(name, self.path(name, key)) for name in self.streams}
        self._check_frames(key, values)
        return values

    def _read(self, name: str, path: Path | None) -> np.ndarray | None:
        if path is None:
            return None
        try:
            return self.modalities[name].read(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error

    def _check_frames(self, key: str, values: dict[str, np.ndarray | None]) -> None:
        frames = {name: self.modalities[name].frame(value) for name, value in values.items() if value is not None}
        known = [(name, frame) for name, frame in frames.items() if frame is not None]
        for name, frame in known[1:]:
            first, expected = known[0]
            if frame != expected and not (self.align == "aspect" and same_aspect(frame, expected)):
                raise DataError(
                    f"{self.path(name, key)}: expected the {'size' if self.align == 'exact' else 'aspect ratio'} of "
                    f"{self.path(first, key)}, {expected[1]}x{expected[0]}, found {frame[1]}x{frame[0]}; "
                    + ("resize one of them, or set data.align=aspect" if self.align == "exact" else "crop one of them")
                )


def same_aspect(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two frames (height, width) show the same picture, but for rounding the sides to whole pixels."""
    small, large = sorted((one, other))
    scale = large[0] / small[0], large[1] / small[1]
    tolerance = max(scale) / min(small)
    return abs(scale[0] - scale[1]) <= tolerance
