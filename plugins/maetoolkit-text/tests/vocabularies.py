"""Small tokenizers for the tests."""

from __future__ import annotations

from pathlib import Path

from maetoolkit_text.cases import PIECES


def write_vocabulary(folder: Path, name: str = "vocab.txt", pieces: tuple[str, ...] = PIECES) -> str:
    """A WordPiece vocab.txt; returns its path."""
    path = folder / name
    path.write_text("".join(f"{piece}\n" for piece in pieces))
    return str(path)
