"""Share: one mask for a sample or for a step, and what its share is a share of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maetoolkit.masking import Layout, Share
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.randomness import Draw
from maetoolkit.testing import check_sampler

TWO = ModalitySet(a=RGB(size=16, patch=4), b=RGB(size=16, patch=4))


def visible(masking: Share, present: dict[str, np.ndarray], step: int = 0) -> dict[str, np.ndarray]:
    layout = Layout(present, dict.fromkeys(present), tuple(present), {name: name for name in present})
    num_samples = len(next(iter(present.values())))
    plan = masking.build()(layout, Draw.of(0, [f"sample {i}" for i in range(num_samples)], 0, step))
    return {name: flags.numpy() for name, flags in plan.visible.items()}


def test_one_mask_per_step_is_that_of_every_sample_and_another_one_in_the_next_step() -> None:
    present = {name: np.ones((5, 40), bool) for name in "ab"}
    masking = Share(ratio=0.5, per="step")
    first, again, next_step = (visible(masking, present, step) for step in (3, 3, 4))
    for name in present:
        assert (first[name] == first[name][:1]).all()
        assert (first[name] == again[name]).all()
        assert (first[name] != next_step[name]).any()
    assert (first["a"] != first["b"]).any()


@settings(max_examples=50, deadline=None, database=None)
@given(st.integers(1, 30), st.floats(0, 1), st.integers(0, 99), st.sampled_from(["sample", "step"]))
def test_a_share_of_all_places_drops_what_is_padding(num: int, ratio: float, seed: int, per: str) -> None:
    present = {"a": np.random.default_rng(seed).random((4, num)) < 0.6}
    everywhere = visible(Share(ratio=ratio, count="all", per=per), {"a": np.ones((4, num), bool)})["a"]
    found = visible(Share(ratio=ratio, count="all", per=per), present)["a"]
    assert (everywhere.sum(1) == math.floor(num * (1 - ratio) + 1e-9)).all()
    assert (found == everywhere & present["a"]).all()
    shown = visible(Share(ratio=ratio, per=per), present)["a"].sum(1)
    assert shown.tolist() == [math.floor(n * (1 - ratio) + 1e-9) for n in present["a"].sum(1)]


@pytest.mark.parametrize("count", ["present", "all"])
def test_it_keeps_the_laws(count: str) -> None:
    check_sampler(Share(ratio=0.6, per="step", count=count))
