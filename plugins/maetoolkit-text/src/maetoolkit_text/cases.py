"""How `maetool plugins check text` tries what this plugin offers: a small vocabulary and a small HDF5 file."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from maetoolkit_text.hdf5 import HDF5
from maetoolkit_text.text import Text

if TYPE_CHECKING:
    import numpy as np

    from maetoolkit.testing import ModalityCase, SourceCase

WORDS = ("a", "dog", "cat", "runs", "sits", "on", "grass", "snow", "red", ".")
PIECES = ("[PAD]", "[UNK]", *WORDS, "##s", "##ing")


def text() -> ModalityCase:
    """Captions of one to eight words."""
    from maetoolkit.testing import ModalityCase

    return ModalityCase(Text(tokenizer=vocabulary(), max_length=8), examples=captions)


def hdf5() -> SourceCase:
    """Eight rows of pictures and captions, of which some are missing."""
    from maetoolkit.modalities.image import RGB
    from maetoolkit.modality import ModalitySet
    from maetoolkit.testing import SourceCase

    modalities = ModalitySet(rgb=RGB(size=8, patch=4), text=Text(tokenizer=vocabulary(), max_length=8))
    return SourceCase(HDF5(file=rows(), key="name"), modalities)


def captions(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Three captions of one to eight words, as `Text.read` returns them."""
    import numpy as np

    return np.array([" ".join(draw.choice(WORDS, int(num))) for num in draw.integers(1, 9, 3)])


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="maetoolkit-text-")


def vocabulary() -> str:
    """A WordPiece vocab.txt that lasts as long as this process."""
    path = Path(_folder().name) / "vocab.txt"
    path.write_text("".join(f"{piece}\n" for piece in PIECES))
    return str(path)


def rows() -> str:
    """An HDF5 file that lasts as long as this process."""
    import h5py
    import numpy as np
    from PIL import Image

    from maetoolkit.randomness import generator

    path, num = Path(_folder().name) / "rows.hdf5", 8
    with h5py.File(path, "w") as file:
        pictures = file.create_dataset("rgb", (num,), h5py.vlen_dtype(np.uint8))
        words = file.create_dataset("text", (num, 3), h5py.string_dtype())
        file.create_dataset("name", data=[f"row {row}" for row in range(num)], dtype=h5py.string_dtype())
        for row in range(num):
            draw = generator("cases", row)
            if row != 2:
                buffer = io.BytesIO()
                Image.fromarray(draw.integers(0, 256, (12, 16, 3), np.uint8)).save(buffer, "JPEG")
                pictures[row] = np.frombuffer(buffer.getvalue(), np.uint8)
            if row != 5:
                words[row] = captions(draw, ()).tolist()
    return str(path)
