"""RecordCache: records of one size in memory that forked workers share."""

from __future__ import annotations

import mmap
from zlib import crc32


class RecordCache:
    """Remembers up to `num_records` byte strings of `size` bytes by number; forked processes share what it holds.

    A checksum stands before each record, so that one that is missing, half-written or being written by another
    process reads as not there. Memory is taken as records come. A pickled copy is an empty one.
    """

    def __init__(self, size: int, num_records: int) -> None:
        self.size, self.num_records = size, num_records
        self._memory = mmap.mmap(-1, max(1, num_records * (4 + size)))

    def __reduce__(self) -> tuple[type[RecordCache], tuple[int, int]]:
        return RecordCache, (self.size, self.num_records)

    def get(self, number: int) -> bytes | None:
        """The record, or None where it is not there."""
        if number >= self.num_records:
            return None
        start = number * (4 + self.size)
        mark = int.from_bytes(self._memory[start : start + 4], "little")
        if mark == 0:
            return None
        record = self._memory[start + 4 : start + 4 + self.size]
        return record if crc32(record) == mark else None

    def put(self, number: int, record: bytes) -> None:
        """Remember a record; numbers beyond the last are let go."""
        assert len(record) == self.size, (len(record), self.size)
        if number < self.num_records:
            start = number * (4 + self.size)
            self._memory[start + 4 : start + 4 + self.size] = record
            self._memory[start : start + 4] = crc32(record).to_bytes(4, "little")
