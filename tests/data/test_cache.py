from __future__ import annotations

import multiprocessing
import pickle

from hypothesis import given
from hypothesis import strategies as st

from maetoolkit.data.cache import RecordCache


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(min_size=8, max_size=8)), max_size=30))
def test_the_last_record_of_every_number_is_remembered(writes: list[tuple[int, bytes]]) -> None:
    cache = RecordCache(8, 7)
    for number, record in writes:
        cache.put(number, record)
    held = dict(writes)
    for number in range(10):
        assert cache.get(number) == (held.get(number) if number < 7 else None)


def test_a_damaged_record_reads_as_missing() -> None:
    cache = RecordCache(8, 2)
    cache.put(1, b"12345678")
    cache._memory[12 + 4 + 3] ^= 1
    assert cache.get(1) is None


def test_forked_processes_share_it_and_a_pickled_copy_is_empty() -> None:
    cache = RecordCache(8, 2)
    process = multiprocessing.get_context("fork").Process(target=cache.put, args=(0, b"12345678"))
    process.start()
    process.join()
    assert cache.get(0) == b"12345678"
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.get(0) is None
    assert copy.size == 8


def test_no_room_is_no_error() -> None:
    cache = RecordCache(8, 0)
    cache.put(0, b"12345678")
    assert cache.get(0) is None
