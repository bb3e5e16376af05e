"""What the samplers promise beyond the laws: numbers, spread, and refusals that help."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maetoolkit.masking import Dirichlet, Layout, Masking, MaskPlan, Share
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.randomness import Draw

PICTURE = RGB(size=16, patch=4)
THREE = ModalitySet(a=PICTURE, b=PICTURE, c=PICTURE)


def plan(masking: Masking, num_samples: int = 200, absent: tuple[str, ...] = ()) -> MaskPlan:
    present = {name: np.full((num_samples, 16), name not in absent) for name in THREE}
    layout = Layout(present, dict.fromkeys(THREE, (4, 4)), THREE.inputs, THREE.sources)
    return masking.build()(layout, Draw.of(0, [f"sample {i}" for i in range(num_samples)]))


def counts(masking: Masking, **settings: object) -> np.ndarray:
    """Visible tokens per sample and input, (B, 3)."""
    visible = plan(masking, **settings).visible  # type: ignore[arg-type]
    return np.stack([visible[name].sum(1).numpy() for name in THREE], axis=1)


@pytest.mark.parametrize(("ratio", "shown"), [(0.75, 4), (0.9, 1), (0.5, 8), (1.0, 0), (0.0, 16), (0.7, 4)])
def test_share_shows_the_floor_of_its_share_of_every_input(ratio: float, shown: int) -> None:
    assert (counts(Share(ratio=ratio)) == shown).all()


def test_share_by_name_overrides_the_general_one() -> None:
    assert (counts(Share(ratio=0.75, ratios={"b": 0.5})) == [4, 8, 4]).all()


def test_every_token_is_shown_equally_often() -> None:
    for masking, expected in ((Share(ratio=0.75), 0.25), (Dirichlet(num_visible=12, alpha="inf"), 0.25)):
        visible = plan(masking, num_samples=2000).visible
        often = torch.stack([flags.float().mean(0) for flags in visible.values()])
        assert (often - expected).abs().max() < 5 * (expected * (1 - expected) / 2000) ** 0.5


def test_infinite_alpha_divides_equally_and_small_alpha_chooses_one_input() -> None:
    assert (counts(Dirichlet(num_visible=9, alpha="inf")) == 3).all()
    uneven = counts(Dirichlet(num_visible=9, alpha=1e-3))
    assert (uneven.max(1) == 9).mean() > 0.95
    assert (uneven.argmax(1)[:, None] == np.arange(3)).mean(0) == pytest.approx([1 / 3] * 3, abs=0.12)


def test_larger_alpha_is_more_even() -> None:
    spreads = [counts(Dirichlet(num_visible=12, alpha=alpha)).std(1).mean() for alpha in (0.1, 1.0, 10.0, 1000.0)]
    assert spreads == sorted(spreads, reverse=True)


def test_alpha_by_name_favours_the_input_with_the_larger_one() -> None:
    shown = counts(Dirichlet(num_visible=9, alpha={"a": 10.0, "b": 1.0, "c": 1.0})).mean(0)
    assert shown[0] > 3 * max(shown[1:])


def test_subsets_leave_inputs_out_and_each_subset_is_as_likely() -> None:
    shown = counts(Dirichlet(num_visible=9, alpha="inf", subsets=True), num_samples=2100)
    kinds = (shown > 0) @ [1, 2, 4]
    often = np.bincount(kinds, minlength=8)
    assert often[0] == 0
    assert np.abs(often[1:] - 300).max() < 5 * 300**0.5


def test_the_budget_goes_to_what_is_there() -> None:
    shown = counts(Dirichlet(num_visible=30, alpha=1.0), absent=("b",))
    assert (shown[:, 1] == 0).all()
    assert (shown.sum(1) == 30).all()
    assert (counts(Dirichlet(num_visible=40), absent=("b", "c")) == [16, 0, 0]).all()


GOLDEN_UNIFORMS = [0.6668629049142345, 0.22557881682612202, 0.25005522860671503]
GOLDEN_SHARE = [4, 5, 8, 13]
GOLDEN_DIRICHLET = [[0, 11, 1], [7, 3, 2], [2, 4, 6]]


def test_plans_are_the_same_on_every_machine() -> None:
    draw = Draw.of(0, ["golden"])
    assert draw.uniform("mask", 3)[0].tolist() == GOLDEN_UNIFORMS
    assert plan(Share(ratio=0.75), 1).visible["a"][0].nonzero()[:, 0].tolist() == GOLDEN_SHARE
    assert counts(Dirichlet(num_visible=12), num_samples=3).tolist() == GOLDEN_DIRICHLET


REFUSED = [
    (lambda: Share(ratio=1.5), "ratio"),
    (lambda: Share(ratios={"a": -0.1}), r"ratios.a: expected a share between 0 and 1, found -0.1"),
    (lambda: Dirichlet(num_visible=0), "num_visible"),
    (lambda: Dirichlet(alpha={"a": 0.0}), r"alpha.a: expected a number above 0"),
    (lambda: Dirichlet(num_visible=49).check(THREE), r"at most the 48 tokens there are \(a 16, b 16, c 16\), found 49"),
    (lambda: Dirichlet(num_visible=9, alpha={"a": 1.0, "b": 1.0}).check(THREE), "found none for c"),
    (lambda: Share(ratios={"aa": 0.5}).check(THREE), r"ratios.aa: no such input; did you mean 'a'\?"),
]


@pytest.mark.parametrize(("attempt", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_settings_that_cannot_work_are_refused_with_the_reason(attempt, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=reason):
        attempt()


def test_a_plan_among_what_is_there_shows_nothing_else_and_may_predict_all() -> None:
    whole = {name: torch.ones(2, 16, dtype=torch.bool) for name in THREE}
    present = {name: np.array([[name != "b"], [True]]).repeat(16, 1) for name in THREE}
    layout = Layout(present, dict.fromkeys(THREE, (4, 4)), THREE.inputs, THREE.sources)
    among = MaskPlan(whole, whole).among(layout)
    shown = {name: flags.any(1).tolist() for name, flags in among.visible.items()}
    assert shown == {"a": [True, True], "b": [False, True], "c": [True, True]}
    assert all(flags.all() for flags in among.target.values())
