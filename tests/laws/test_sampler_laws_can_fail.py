"""Each law catches a sampler that breaks it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from pydantic import Field as Setting

from maetoolkit.masking import Layout, Masking, MaskPlan, MaskSampler, complete
from maetoolkit.randomness import Draw
from maetoolkit.testing import SAMPLER_LAWS, LawError, SamplerCase, check_sampler

LAWS = {law.name: law for law in SAMPLER_LAWS}


class Halves(Masking):
    """Shows the present tokens whose number drawn by key is below 1/2, in one of many ways that may be wrong."""

    type: Literal["halves"] = "halves"
    wrong: str = ""
    unwritten: int = Setting(0, exclude=True)
    needs_content: bool = False

    def build(self) -> HalvesSampler:
        return HalvesSampler(self)


class HalvesSampler(MaskSampler):
    def __init__(self, settings: Halves) -> None:
        self.settings, self.needs_content = settings, settings.needs_content
        if settings.wrong == "no pickle":
            self.draw = lambda: 0

    def __call__(self, layout: Layout, draw: Draw, progress: float = 0.0, patches=None, scores=None) -> MaskPlan:  # type: ignore[no-untyped-def]
        wrong = self.settings.wrong
        if self.needs_content:
            assert patches is not None
            assert all(patches[name].present.shape == layout.present[name].shape for name in layout.inputs)
        visible = {}
        for name in layout.inputs:
            present = layout.present[name]
            numbers = draw.uniform(name, present.shape[1])
            if wrong == "order":
                numbers = np.arange(present.size).reshape(present.shape) % 3 / 3
            elif wrong == "torch":
                numbers = torch.rand(present.shape).numpy()
            elif wrong == "numpy":
                numbers = np.random.random(present.shape)
            visible[name] = (numbers < 0.5) & (present | (wrong == "absent"))
        plan = complete(layout, visible, self.settings.score)
        if wrong == "target":
            plan = MaskPlan(plan.visible, {name: ~flags for name, flags in plan.target.items()})
        elif wrong == "float":
            plan = MaskPlan({name: flags.float() for name, flags in plan.visible.items()}, plan.target)
        elif wrong == "output":
            plan = MaskPlan(plan.visible, {})
        return plan


BROKEN = [
    ("flags", "float", "torch.float32"),
    ("flags", "output", "`target` names []"),
    ("presence", "absent", "visible although they are absent"),
    ("presence", "target", "predicted although they are absent"),
    ("targets", "target", "are not those of score 'masked'"),
    ("budget", "", "promised were"),
    ("keyed", "order", "differs in another batch"),
    ("keyed", "torch", "differs in another batch"),
    ("keyed", "numpy", "differs in another batch"),
    ("round trip", "no pickle", "pickle"),
]


@pytest.mark.parametrize(("law", "wrong", "found"), BROKEN, ids=[f"{law}: {wrong}" for law, wrong, _ in BROKEN])
def test_the_law_catches(law: str, wrong: str, found: str) -> None:
    with pytest.raises(LawError) as caught:
        LAWS[law](SamplerCase(Halves(wrong=wrong), budget=lambda there: 5))
    assert str(caught.value).startswith(f"{law}: {LAWS[law].says}")
    assert found in str(caught.value)


def test_every_law_is_shown_to_fail() -> None:
    assert {law for law, _, _ in BROKEN} == set(LAWS)


def test_round_trip_catches_a_setting_that_is_not_written() -> None:
    with pytest.raises(LawError, match="after plain values the description is"):
        LAWS["round trip"](SamplerCase(Halves(unwritten=1)))


@pytest.mark.parametrize("needs_content", [False, True])
def test_an_honest_sampler_passes_also_where_it_needs_content(needs_content: bool) -> None:
    verdicts = check_sampler(Halves(needs_content=needs_content, score="all"))
    assert [v.law for v in verdicts if v.held is None] == ["budget"]
