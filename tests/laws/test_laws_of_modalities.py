"""Every built-in modality keeps every law."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maetoolkit.modalities.image import RGB, Depth, StandardizedRGB
from maetoolkit.modalities.semantic import Semantic
from maetoolkit.modality import Modality
from maetoolkit.testing import MODALITY_LAWS, Law, ModalityCase, check_modality


def bytes_of_colour(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return draw.integers(256, size=(*shape, 3), dtype=np.uint8)


def depth_with_nan(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.where(draw.random(shape) < 0.2, np.nan, draw.random(shape) * 9 + 1).astype(np.float32)


CASES = {
    "rgb": ModalityCase(RGB(size=16, patch=8), examples=bytes_of_colour),
    "rgb, one channel, not square, learned positions": ModalityCase(
        RGB(size=(8, 12), patch=(4, 6), channels=1, position="learned")
    ),
    "rgb, thirteen channels, MAE's positions": ModalityCase(
        RGB(size=8, patch=4, channels=13, position_order="column_first", loss="l1")
    ),
    "rgb, an input only": ModalityCase(RGB(size=8, patch=4, role="input")),
    "standardised rgb": ModalityCase(StandardizedRGB(), source=RGB(size=16, patch=8)),
    "depth with invalid pixels": ModalityCase(Depth(size=(12, 8), patch=4)),
    "depth with NaN, an output only": ModalityCase(
        Depth(size=8, patch=4, invalid="nan", role="target"), examples=depth_with_nan
    ),
    "depth, not standardised, half resolution": ModalityCase(
        Depth(size=16, patch=8, stride=2, standardize=None, invalid=None, loss="mse")
    ),
    "semantic with void": ModalityCase(Semantic(num_classes=5, size=16, patch=8, stride=2, class_dim=4)),
    "semantic without void": ModalityCase(
        Semantic(num_classes=3, void=None, size=(8, 16), patch=8, stride=4, class_dim=4)
    ),
}


@pytest.mark.parametrize("law", MODALITY_LAWS, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_every_builtin_modality_keeps(law: Law[ModalityCase], name: str) -> None:
    verdict = law(CASES[name])
    assert verdict.held is (None if (name, law.name) == ("rgb, an input only", "optimum") else True)


def test_all_laws_report_their_verdict_by_name_and_leave_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    verdicts = check_modality(RGB(size=8, patch=4, role="input"))
    assert torch.equal(before, torch.get_rng_state())
    assert [verdict.law for verdict in verdicts] == [law.name for law in MODALITY_LAWS]
    assert [v.law for v in verdicts if v.held is None] == ["optimum"]


@pytest.mark.parametrize("size", [{"size": 224}, {"size": (224, 224), "patch": 16}], ids=str)
def test_laws_say_what_they_need_for_an_entry_of_another(size: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="give `source`"):
        ModalityCase(StandardizedRGB())
    case = ModalityCase(StandardizedRGB(), source=RGB(**size))
    assert case.modalities.inputs == ("rgb", "partner")


sides = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))


@st.composite
def modalities(draw: st.DrawFn) -> ModalityCase:
    rows, columns, height, width = draw(sides)
    grid = {"size": (rows * height, columns * width), "patch": (height, width)}
    kind = draw(st.sampled_from([RGB, Depth, Semantic, StandardizedRGB]))
    seed = draw(st.integers(0, 2**16))
    position = draw(st.sampled_from(["sincos", "learned"]))
    modality: Modality
    if kind is Semantic:
        void = draw(st.sampled_from([None, 255]))
        modality = Semantic(**grid, num_classes=draw(st.integers(1, 4)), void=void, stride=1, class_dim=3)
    elif kind is Depth:
        invalid = draw(st.sampled_from([None, 0.0, "nan"]))
        modality = Depth(**grid, invalid=invalid, trim=draw(st.sampled_from([0, 0.1, 0.4])), position=position)
    else:
        modality = RGB(**grid, channels=draw(st.integers(1, 4)), position=position)
    if kind is StandardizedRGB:
        return ModalityCase(StandardizedRGB(), source=modality, seed=seed)
    return ModalityCase(modality, seed=seed)


@pytest.mark.parametrize("law", MODALITY_LAWS, ids=str)
def test_laws_hold_at_any_size_for_any_presence_and_mask(law: Law[ModalityCase]) -> None:
    num = {"presence": 4, "finite": 4}.get(law.name, 8)

    @settings(max_examples=num, deadline=None, database=None)
    @given(modalities())
    def holds(case: ModalityCase) -> None:
        law(case)

    holds()
