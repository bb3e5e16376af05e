"""Caption files: UTF-8 text with one caption per line."""

from __future__ import annotations


def read_captions(data: bytes) -> list[str]:
    """The captions of a file, one per line; blank lines are none, unless there is nothing else: an empty caption.

    Raises ValueError for a file of no bytes, and for what is not UTF-8.
    """
    if not data:
        raise ValueError("the file is empty (zero bytes); expected UTF-8 text, a caption per line; remove the file")
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"expected UTF-8 text, found byte 0x{data[error.start]:02x} on line {line} (at {error.start}); "
            "convert the file to UTF-8"
        ) from None
    return [line.strip() for line in lines if line.strip()] or [""]
