"""What is wrong with values and masks given from Python is said in one message."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maetoolkit import (
    RGB,
    CrossDecoder,
    Depth,
    Dirichlet,
    MaskedAutoencoder,
    MaskPlan,
    ModalitySet,
    Semantic,
    Share,
    ViT,
)
from maetoolkit.masking import Layout
from maetoolkit.randomness import Draw

MODEL = MaskedAutoencoder(
    ModalitySet(
        rgb=RGB(size=16, patch=4),
        depth=Depth(size=16, patch=4),
        labels=Semantic(size=16, patch=4, stride=1, num_classes=5),
    ),
    ViT(dim=16, depth=2, heads=2),
    CrossDecoder(dim=16, depth=1, heads=2),
    Share(),
)
RIGHT = {"rgb": torch.rand(2, 3, 16, 16), "labels": torch.randint(0, 5, (2, 16, 16))}
WRONG = {
    "channels last": ({"rgb": torch.rand(2, 16, 16, 3)}, r"rgb: expected values with axes \('batch', 3, 16, 16\)"),
    "no patch fits": ({"rgb": torch.rand(2, 3, 15, 16)}, r"rgb: values of size \(15, 16\) cannot be cut"),
    "wide integers": ({"rgb": torch.zeros(2, 3, 16, 16, dtype=torch.int64)}, "rgb: expected uint8, uint16 or floats"),
    "label too large": ({"labels": torch.full((2, 16, 16), 7)}, "labels: expected labels below 5, found 7"),
    "labels as floats": ({"labels": torch.zeros(2, 16, 16)}, "labels: expected integer labels"),
    "labels with channels": ({"labels": torch.zeros(2, 1, 16, 16).long()}, "labels: expected values with axes"),
    "two batch sizes": ({**RIGHT, "depth": torch.rand(3, 1, 16, 16)}, "one batch size"),
    "nothing": ({}, "one batch size"),
}


@pytest.mark.parametrize(("batch", "reason"), WRONG.values(), ids=WRONG)
def test_values_that_cannot_be_right_are_refused(batch: dict, reason: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=reason):
        MODEL(batch)


def flags(num: int = 16) -> torch.Tensor:
    return torch.ones(2, num, dtype=torch.bool)


PLANS = {
    "unknown": (MaskPlan({"rbg": flags()}, {}), "visible has 'rbg'"),
    "tokens": (MaskPlan({"rgb": flags(9)}, {}), r"visible\['rgb'\] must be bool of shape \(2, 16\)"),
    "type": (MaskPlan({}, {"rgb": flags().float()}), r"target\['rgb'\] must be bool"),
}


@pytest.mark.parametrize(("plan", "reason"), PLANS.values(), ids=PLANS)
def test_masks_that_cannot_be_right_are_refused(plan: MaskPlan, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        MODEL(RIGHT, plan)


def test_entries_that_a_mask_by_hand_does_not_name_are_neither_seen_nor_predicted() -> None:
    plan = MaskPlan({"rgb": flags()}, {"labels": flags()})
    output = MODEL(RIGHT, plan)
    assert {name: len(prediction) for name, prediction in output.predictions.items()} == {
        "rgb": 0,
        "depth": 0,
        "labels": 32,
    }


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="blocks 0 to 1, found 99"):
        MODEL.encode(RIGHT, layers=[99])


@pytest.mark.parametrize("other", [np.float32, np.uint16])
def test_values_do_not_depend_on_the_types_of_the_other_samples(other: type) -> None:
    rgb = RGB(size=4, patch=4, channels=1)
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    alone = rgb.prepare(rgb.collate([image])).values
    beside = rgb.prepare(rgb.collate([image, image.astype(other)])).values
    assert torch.equal(alone[0], beside[0])


def test_equal_shares_go_to_the_chosen_subset_only() -> None:
    names = ("a", "b", "c")
    layout = Layout({n: np.ones((100, 16), bool) for n in names}, dict.fromkeys(names), names, {n: n for n in names})
    draw = Draw.of(0, [str(i) for i in range(100)])
    for rounding in ("apportion", "published"):
        masking = Dirichlet(num_visible=12, alpha="inf", subsets=True, rounding=rounding)
        counts = np.stack([masking.build()(layout, draw).visible[n].numpy().sum(1) for n in names], axis=1)
        assert (counts.sum(1) == 12).all()
        assert {tuple(sorted(row)) for row in counts.tolist()} == {(0, 0, 12), (0, 6, 6), (4, 4, 4)}
