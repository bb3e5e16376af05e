"""Every built-in sampler keeps every law."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maetoolkit.masking import Dirichlet, Masking, Share
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.testing import SAMPLER_LAWS, Law, SamplerCase, check_sampler
from maetoolkit.testing.samplers import Budget


def fixed(num_visible: int) -> Budget:
    return lambda there: min(num_visible, sum(there.values()))


def shares(ratio: Callable[[str], float]) -> Budget:
    def budget(there: Mapping[str, int]) -> int:
        return sum(math.floor(num * (1 - ratio(name)) + 1e-9) for name, num in there.items())

    return budget


ALPHAS = [1e-3, 0.2, 1.0, 100.0, "inf", {"tall": 0.5, "wide": 2.0}]
SAMPLERS: dict[str, tuple[Masking, Budget]] = {
    "share 0.75": (Share(), shares(lambda name: 0.75)),
    "share of everything": (Share(ratio=1), shares(lambda name: 1)),
    "share of nothing, all scored": (Share(ratio=0, score="all"), shares(lambda name: 0)),
    "share by name": (Share(ratio=0.5, ratios={"wide": 0.9}), shares({"tall": 0.5, "wide": 0.9}.__getitem__)),
}
for alpha in ALPHAS:
    for rounding in ("apportion", "published"):
        for subsets in (False, True):
            settings_ = {"num_visible": 9, "alpha": alpha, "rounding": rounding, "subsets": subsets}
            name = ", ".join(f"{key} {value}" for key, value in settings_.items())
            SAMPLERS[f"dirichlet, {name}"] = (Dirichlet(**settings_), fixed(9))
SAMPLERS["dirichlet, all tokens"] = (Dirichlet(num_visible=22, score="all"), fixed(22))


@pytest.mark.parametrize("law", SAMPLER_LAWS, ids=str)
@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("single", [False, True], ids=["entries", "tokens"])
def test_every_builtin_sampler_keeps(law: Law[SamplerCase], name: str, single: bool) -> None:
    masking, budget = SAMPLERS[name]
    assert law(SamplerCase(masking, budget=budget, single=single)).held is True


def test_all_laws_report_their_verdict_by_name() -> None:
    verdicts = check_sampler(Dirichlet(num_visible=5))
    assert [verdict.law for verdict in verdicts] == [law.name for law in SAMPLER_LAWS]
    assert [v.law for v in verdicts if v.held is None] == ["budget"]


@settings(max_examples=30, deadline=None, database=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4),
    st.integers(1, 9),
    st.integers(0, 2**16),
    st.booleans(),
    st.data(),
)
def test_laws_hold_for_any_number_and_size_of_inputs(
    grids: list[tuple[int, int]], num_samples: int, seed: int, single: bool, data: st.DataObject
) -> None:
    entries = {f"input{i}": RGB(size=(2 * h, 2 * w), patch=2, channels=1) for i, (h, w) in enumerate(grids)}
    total = sum(h * w for h, w in grids)
    num_visible = data.draw(st.integers(1, total))
    masking: Masking
    if data.draw(st.booleans()):
        alpha = data.draw(st.sampled_from([0.05, 1.0, "inf"]))
        rounding = data.draw(st.sampled_from(["apportion", "published"]))
        masking = Dirichlet(num_visible=num_visible, alpha=alpha, rounding=rounding, subsets=data.draw(st.booleans()))
        budget = fixed(num_visible)
    else:
        ratio = data.draw(st.floats(0, 1))
        masking, budget = Share(ratio=ratio), shares(lambda name: ratio)
    case = SamplerCase(masking, ModalitySet(**entries), budget, num_samples, seed, single)
    for law in SAMPLER_LAWS:
        law(case)
