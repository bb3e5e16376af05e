"""Small tokenizers and captions for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

WORDS = ("a", "dog", "cat", "runs", "sits", "on", "grass", "snow", "red", ".")
PIECES = ("[PAD]", "[UNK]", *WORDS, "##s", "##ing")


def write_vocabulary(folder: Path, name: str = "vocab.txt", pieces: tuple[str, ...] = PIECES) -> str:
    """A WordPiece vocab.txt; returns its path."""
    path = folder / name
    path.write_text("".join(f"{piece}\n" for piece in pieces))
    return str(path)


def captions(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Three captions of one to eight words, as `read` returns them."""
    lengths = draw.integers(1, 9, 3)
    return np.array([" ".join(draw.choice(WORDS, num)) for num in lengths])
