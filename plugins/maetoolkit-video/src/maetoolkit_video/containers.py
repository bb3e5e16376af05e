"""Container formats by their first bytes, and whether a file is whole: told by its own lengths, before it is opened."""

from __future__ import annotations

_MATROSKA = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def format_of(data: bytes) -> str | None:
    """FFmpeg's name of the demuxer for these bytes: MP4 and QuickTime, or Matroska and WebM; None for others.

    Never one that follows references to other files, as play lists do.
    """
    if data.startswith(_MATROSKA):
        return "matroska"
    return "mov" if data[4:8] in _BOXES else None


def check_whole(data: bytes) -> None:
    """Raise ValueError where a file says that it is longer than it is."""
    declared = _end_of_segment(data) if data.startswith(_MATROSKA) else _end_of_boxes(data)
    if declared > len(data):
        raise ValueError(
            f"truncated video: expected at least {declared} bytes, found {len(data)}; repair or remove the file"
        )


def _end_of_boxes(data: bytes) -> int:
    """Where the last top-level box of an MP4 file ends (ISO/IEC 14496-12, section 4.2)."""
    place = 0
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        if size == 1:
            size = int.from_bytes(data[place + 8 : place + 16], "big")
        if size < 8:  # 0: up to the end of the file; else damage, which the demuxer will tell
            return len(data)
        place += size
    return place


def _end_of_segment(data: bytes) -> int:
    """Where the segment of a Matroska file ends (RFC 8794, section 6); streams of unknown length end with the file."""
    size, place = _variable_number(data, len(_MATROSKA))
    place += size or 0
    if data[place : place + 4] != _SEGMENT:
        return len(data)
    size, place = _variable_number(data, place + 4)
    return len(data) if size is None else place + size


def _variable_number(data: bytes, place: int) -> tuple[int | None, int]:
    """An EBML length at `place` (None: unknown), and the place behind it."""
    first = data[place] if place < len(data) else 0
    num = 9 - first.bit_length()
    largest = (1 << 7 * num) - 1
    number = int.from_bytes(data[place : place + num], "big") & largest
    return None if number == largest else number, place + num
