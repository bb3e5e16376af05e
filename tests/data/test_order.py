from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maetoolkit.data.order import Schedule
from maetoolkit.data.source import Samples
from maetoolkit.errors import ConfigError

Places = list[list[tuple[int, int]]]


class Numbers(Samples):
    """As many samples as it is told, with nothing in them."""

    def __init__(self, num: int) -> None:
        self.num = num

    def __len__(self) -> int:
        return self.num

    def key(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> dict[str, np.ndarray | None]:
        return {}


def order(seed: int, epoch: int, num: int) -> list[int]:
    return [index for own, index in Numbers(num).places(seed, epoch).tolist() if own == epoch]


def steps(schedule: Schedule) -> Places:
    """The places of every step of one rank."""
    rows: Places = [[] for _ in range(schedule.start, schedule.num_steps)]
    for request in schedule:
        rows[request.step - schedule.start] += request.places
    return rows


@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 2**31))
def test_each_sample_comes_exactly_once_per_epoch(num_samples: int, batch: int, seed: int) -> None:
    epochs = 3
    num_steps = -(-epochs * num_samples // batch)
    places = [p for row in steps(Schedule(Numbers(num_samples), seed, batch, batch, num_steps)) for p in row]
    places = places[: epochs * num_samples]
    for epoch in range(epochs):
        mine = [index for e, index in places if e == epoch]
        assert sorted(mine) == list(range(num_samples))


@given(st.integers(1, 60), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 6))
def test_ranks_micro_batches_and_start_change_nothing(num: int, world: int, parts: int, size: int, start: int) -> None:
    batch, num_steps = world * parts * size, 8
    straight = steps(Schedule(Numbers(num), 7, batch, batch, num_steps))
    ranks = [steps(Schedule(Numbers(num), 7, batch, size, num_steps, start, rank, world)) for rank in range(world)]
    together = [[p for rank in ranks for p in rank[step]] for step in range(num_steps - start)]
    assert together == straight[start:]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first = order(0, 0, 100)
    assert first not in (order(0, 1, 100), order(1, 0, 100))
    schedule = Schedule(Numbers(100), 0, 8, 8, 10)
    assert schedule.place(0) == (0, first[0])
    assert schedule.place(101) == (1, order(0, 1, 100)[1])


def test_the_order_is_pinned_for_all_time() -> None:
    assert order(0, 0, 10) == [7, 0, 3, 6, 8, 2, 9, 1, 4, 5]
    assert order(123, 4, 10) == [7, 3, 4, 8, 2, 9, 6, 5, 1, 0]


def test_numbers_that_do_not_divide_are_refused_with_a_remedy() -> None:
    with pytest.raises(ConfigError, match=r"batch: expected a multiple of the 3 ranks, found 8; 6 would do"):
        Schedule(Numbers(10), 0, 8, 4, 10, world=3)
    with pytest.raises(ConfigError, match=r"micro_batch: expected a divisor of the 8 samples"):
        Schedule(Numbers(10), 0, 8, 3, 10)


def test_a_micro_batch_above_the_share_of_a_rank_is_that_share() -> None:
    assert Schedule(Numbers(10), 0, 8, 8, 10, world=4).size == 2
