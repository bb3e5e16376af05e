"""The parts of compositions: which modalities each is checked and built for, and plans drawn on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from drawing import drawn, layout
from torch import Tensor, nn

from maetoolkit.masking import (
    Block,
    Conditional,
    Each,
    Layout,
    Masking,
    MaskPlan,
    MaskSampler,
    Phase,
    Restrict,
    Schedule,
    Share,
    Union,
)
from maetoolkit.masking.compose import Composition
from maetoolkit.masking.share import ShareSampler
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.randomness import Draw
from maetoolkit.testing.sequence import Numbers
from maetoolkit.tokens import map_tensors

ENTRIES = ModalitySet(
    rgb=RGB(size=16, patch=4, role="input"),
    p=Numbers(length=9),
    p_too=Numbers(length=9, of="p", role="target"),
    out=Numbers(length=4, role="target"),
)


class Told(Share):
    """A sampler that keeps the names of the modalities that it is built for, and must be told them."""

    def build(self) -> ShareSampler:
        raise ValueError("use build_for(modalities)")

    def build_for(self, modalities: ModalitySet) -> MaskSampler:
        return ToldSampler(self, tuple(modalities))


class ToldSampler(ShareSampler):
    def __init__(self, settings: Told, names: tuple[str, ...]) -> None:
        super().__init__(settings)
        self.names = names


@pytest.mark.parametrize(
    "masking",
    [
        Each(samplers={"rgb": Block(ratio=0.75), "p": Share()}),
        Restrict(entries=("rgb",), sampler=Block(ratio=0.75)),
        Schedule(phases=(Phase(sampler=Each(samplers={"rgb": Block(ratio=0.75), "p": Share()})),)),
    ],
    ids=["each", "restrict", "each in a schedule"],
)
def test_the_sampler_of_an_input_that_is_not_predicted_is_held_to_that_input_alone(masking: Masking) -> None:
    masking.check(ENTRIES)  # block needs a grid, which rgb has and p has not
    masking.check(ModalitySet(rgb=ENTRIES["rgb"], p=ENTRIES["p"]))
    there = {"rgb": np.ones((5, 16), bool), "p": np.ones((5, 9), bool), "out": np.ones((5, 4), bool)}
    grids = {"rgb": (4, 4), "p": None, "out": None}
    place = Layout(there, grids, ENTRIES.inputs, ENTRIES.sources)
    plan = masking.build_for(ENTRIES)(place, Draw.of(0, list("abcde")))
    assert (plan.visible["rgb"].sum(1) == 4).all()
    assert set(plan.target) == {"p", "p_too", "out"}
    with pytest.raises(ValueError, match="block needs tokens on a grid, and those of 'p'"):
        Restrict(entries=("p",), sampler=Block()).check(ENTRIES)


def test_a_sampler_is_built_for_the_inputs_that_it_masks_and_what_is_of_them() -> None:
    sampler = Each(samplers={"rgb": Told(), "p": Told()}).build_for(ENTRIES)
    assert [part.names for part in sampler.parts] == [("rgb",), ("p", "p_too")]  # type: ignore[attr-defined]
    assert Restrict(entries=("rgb", "p"), sampler=Told()).build_for(ENTRIES).parts[0].names == ("rgb", "p", "p_too")  # type: ignore[attr-defined]
    for wide in (Union(samplers=(Told(),)), Conditional(sampler=Told()), Schedule(phases=(Phase(sampler=Told()),))):
        assert wide.build_for(ENTRIES).parts[0].names == tuple(ENTRIES)  # type: ignore[attr-defined]


def test_a_sampler_whose_settings_move_is_built_for_the_modalities_of_its_composition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    build_for = Told.build_for

    def kept(self: Told, modalities: ModalitySet) -> MaskSampler:
        found.append((round(self.ratio, 6), tuple(modalities)))
        return build_for(self, modalities)

    monkeypatch.setattr(Told, "build_for", kept)
    moving = Schedule(phases=(Phase(sampler=Told(ratio=0.25), to={"ratio": 0.75}),))
    sampler = Each(samplers={"rgb": Share(), "p": moving}).build_for(ENTRIES)
    there = {"rgb": np.ones((3, 16), bool), "p": np.ones((3, 8), bool)}
    plan = sampler(layout(there, {"rgb": (4, 4), "p": None}), Draw.of(0, list("abc")), 0.5)
    assert found == [(0.25, ("p", "p_too")), (0.5, ("p", "p_too"))]
    assert (plan.visible["p"].sum(1) == 4).all()


def test_a_sampler_with_a_state_of_its_own_cannot_have_settings_that_move() -> None:
    class Counting(Share):
        def build(self) -> MaskSampler:  # type: ignore[override]
            return CountingSampler(self)

    with pytest.raises(ValueError, match=r"phases.0.to: the settings of a sampler that learns or has a state"):
        Schedule(phases=(Phase(sampler=Counting(), to={"ratio": 0.9}),)).build()
    Schedule(phases=(Phase(sampler=Counting()),)).build()


class CountingSampler(nn.Module, MaskSampler):
    """Counts the steps, and looks at nothing."""

    needs_content = True
    steps: Tensor

    def __init__(self, settings: Share) -> None:
        super().__init__()
        self.settings, self.inner = settings, ShareSampler(settings)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, *given: Any, **more: Any) -> MaskPlan:
        return self.inner(*given, **more)

    def after_step(self) -> None:
        self.steps.add_(1)


class Elsewhere(Tensor):
    """Flags as they are on a device: they must be brought to the host before anything there can use them."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is not Tensor.cpu:
            raise TypeError(f"{getattr(function, '__name__', function)}: expected a tensor on the host")
        with torch._C.DisableTorchFunctionSubclass():
            return args[0].as_subclass(Tensor)


class There(Share):
    """Plans on the device."""

    def build(self) -> ShareSampler:
        return ThereSampler(self)


class ThereSampler(ShareSampler):
    needs_content = True

    def __call__(self, *given: Any, **more: Any) -> MaskPlan:
        moved: MaskPlan = map_tensors(super().__call__(*given, **more), lambda flags: flags.as_subclass(Elsewhere))
        return moved


@pytest.mark.parametrize("in_place", [False, True])
def test_plans_that_are_drawn_on_the_device_are_put_together_on_the_host(in_place: bool) -> None:
    def compositions(part: Masking) -> list[Composition]:
        return [
            Each(samplers={"a": part, "b": Share()}),
            Restrict(entries=("a",), sampler=part),
            Union(samplers=(part, Share())),
            Conditional(sampler=part),
            Schedule(phases=(Phase(sampler=part, to={"ratio": 0.5}),)),
            Schedule(phases=(Phase(sampler=Union(samplers=(Restrict(entries=("a",), sampler=part), part))),)),
        ]

    place = layout({"a": np.ones((6, 16), bool), "b": np.ones((6, 9), bool)}, {"a": (4, 4), "b": None})
    with pytest.raises(TypeError, match="expected a tensor on the host"):
        drawn(There(), place).visible["a"].numpy()
    pairs = zip(compositions(There(in_place=in_place)), compositions(Share(in_place=in_place)), strict=True)
    for there, here in pairs:
        found, expected = drawn(there, place, 0.5), drawn(here, place, 0.5)
        for what in ("visible", "target", "in_place", "content"):
            flags = getattr(found, what)
            assert set(flags) == set(getattr(expected, what))
            for name, one in getattr(expected, what).items():
                assert type(flags[name]) is Tensor
                assert torch.equal(flags[name], one)
