from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maetoolkit.train.schedule import Schedule


def schedule(**changes: object) -> Schedule:
    given: dict = {
        "num_samples": 10,
        "batch": 4,
        "num_steps": 100,
        "end": 100,
        "warmup_steps": 0,
        "peak": 1.0,
        "warmup": 0.0,
        "final": 0.0,
        "checkpoint_every": None,
        "checkpoint_every_epochs": None,
        "log_every": 10,
    }
    return Schedule(**{**given, **changes})


def test_length_in_epochs_is_rounded_up_to_whole_steps(recipe) -> None:
    made = Schedule.of(recipe("epochs=3", "optimizer.warmup_epochs=1"), num_samples=12)
    assert (made.num_steps, made.warmup_steps, made.end) == (5, 2, 5)  # 36 / 8 and 12 / 8


def test_stop_after_ends_the_invocation_and_leaves_the_schedule(recipe) -> None:
    whole, part = Schedule.of(recipe(), 12), Schedule.of(recipe("stop_after=10"), 12)
    assert (part.num_steps, part.end) == (20, 10)
    assert [part.learning_rate(step) for step in range(20)] == [whole.learning_rate(step) for step in range(20)]
    assert Schedule.of(recipe("stop_after=99"), 12).end == 20


def test_first_last_and_every_so_many_steps_are_logged() -> None:
    made = schedule(num_steps=25, end=13)
    assert [done for done in range(1, 26) if made.logs(done)] == [1, 10, 20, 25]


def test_checkpoints_come_by_steps_or_epochs_and_at_the_end() -> None:
    by_steps = schedule(num_steps=20, end=18, checkpoint_every=8)
    assert [done for done in range(1, 19) if by_steps.saves(done)] == [8, 16, 18]
    by_epochs = schedule(num_steps=20, end=20, checkpoint_every_epochs=2)
    assert [done for done in range(1, 21) if by_epochs.saves(done)] == [5, 10, 15, 20]


def test_without_a_wish_a_checkpoint_comes_every_thousand_steps(recipe) -> None:
    made = Schedule.of(recipe("checkpoint.every=null", "steps=5000"), 12)
    assert [done for done in range(1, 5001) if made.saves(done)] == [1000, 2000, 3000, 4000, 5000]


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 5))
def test_every_epoch_boundary_gets_its_checkpoint(num_samples: int, batch: int, epochs: int) -> None:
    made = schedule(num_samples=num_samples, batch=batch, num_steps=60, end=60, checkpoint_every_epochs=epochs)
    saved = [done for done in range(1, 61) if made.saves(done)]
    boundaries = {made.epoch(done) // epochs for done in range(1, 61)} - {0}
    assert boundaries <= {made.epoch(done) // epochs for done in saved}
    assert len(saved) <= len(boundaries) + 1
