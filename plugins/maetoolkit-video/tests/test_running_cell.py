"""Two masks: tubes hidden from the encoder, and the half of them that the decoder decodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_video import RunningCell, Video
from maetoolkit_video.cases import running_cell
from maetoolkit_video.cells import running_cells

from maetoolkit.masking import Each, Layout, Share, Tube
from maetoolkit.modalities import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import CrossDecoder, JointDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.randomness import Draw
from maetoolkit.testing import check_sampler
from maetoolkit.tokens import Field

VIDEO = Video(size=(16, 24, 24), patch=(2, 4, 4), channels=1)  # a grid of 8 x 6 x 6
SETS = ModalitySet(video=VIDEO, picture=RGB(size=16, patch=4))


def plan_of(masking: RunningCell | Each, num: int = 5, present: float = 1.0, modalities: ModalitySet = SETS):
    flags = {n: np.random.default_rng(0).random((num, m.num_tokens)) < present for n, m in modalities.items()}
    layout = Layout(flags, {n: m.layout(None)[0] for n, m in modalities.items()}, modalities.inputs, modalities.sources)
    return masking.build()(layout, Draw.of(0, [str(i) for i in range(num)])), layout


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([0.5, 0.75, 0.9, 0.95]),
    st.sampled_from([(0.5, (2, 2)), (0.25, (2, 2)), (0.75, (2, 2)), (0.5, (1, 2)), (1.0, (3, 3))]),
)
def test_every_frame_has_the_same_mask_and_exactly_the_share_of_what_is_hidden_is_decoded(ratio, cells) -> None:
    decode, cell = cells
    plan, _ = plan_of(RunningCell(sampler=Tube(ratio=ratio), decode=decode, cell=cell))
    visible, target = (flags["video"].view(5, 8, 36).numpy() for flags in (plan.visible, plan.target))
    assert (visible == visible[:, :1]).all()
    assert (visible[:, 0].sum(1) == int(36 * (1 - ratio) + 1e-9)).all()
    assert not (visible & target).any()
    if 8 % np.prod(cell) == 0:
        hidden = (~visible).sum((1, 2))
        np.testing.assert_array_equal(target.sum((1, 2)), decode * hidden)
        times = target.sum(1)[~visible[:, 0]]
        assert set(times) == {8 * decode}


def test_every_cell_of_every_frame_is_decoded_by_half_and_the_choice_runs() -> None:
    decoded = running_cells((8, 6, 6), (2, 2), 0.5, np.arange(4)).reshape(4, 8, 3, 2, 3, 2)
    assert (decoded.sum((3, 5)) == 2).all()
    changes = (decoded[:, 1:] != decoded[:, :-1]).sum((3, 5))
    assert (changes == 2).all()
    np.testing.assert_array_equal(decoded[0, 1:], decoded[1, :-1])


def test_the_encoders_mask_is_any_samplers_and_other_inputs_may_have_one_of_their_own() -> None:
    plan, _ = plan_of(RunningCell(sampler=Share(ratio=0.75)))
    assert plan.visible["video"].sum(1).tolist() == [72] * 5
    assert torch.equal(plan.target["picture"], ~plan.visible["picture"])
    plan, _ = plan_of(Each(samplers={"video": RunningCell(), "picture": Share(ratio=0.75)}))
    assert plan.visible["picture"].sum(1).tolist() == [4] * 5
    assert plan.visible["video"].sum(1).tolist() == [3 * 8] * 5
    assert plan.target["video"].sum(1).tolist() == [33 * 8 // 2] * 5
    every, _ = plan_of(RunningCell(score="all"))
    assert every.target["video"].sum(1).tolist() == [144] * 5


def test_what_is_absent_is_neither_shown_nor_decoded() -> None:
    plan, layout = plan_of(RunningCell(sampler=Tube(ratio=0.5)), present=0.6)
    for name, present in layout.present.items():
        assert not (plan.visible[name].numpy() & ~present).any()
        assert not (plan.target[name].numpy() & ~present).any()


def test_running_cell_keeps_the_laws_but_the_one_that_everything_hidden_is_predicted() -> None:
    case = running_cell()
    verdicts = check_sampler(case.masking, modalities=case.modalities, expected=case.expected)
    assert [str(v.law) for v in verdicts if v.held is False] == ["targets"]


@pytest.mark.parametrize("decoder", [CrossDecoder(dim=24, depth=1, heads=2), JointDecoder(dim=24, depth=1, heads=2)])
def test_tokens_that_are_not_decoded_cost_the_decoder_nothing_and_are_not_scored(decoder) -> None:
    modalities = ModalitySet(video=VIDEO)
    model = MaskedAutoencoder(modalities, ViT(dim=24, depth=1, heads=2), decoder, RunningCell())
    values = torch.rand(2, 1, 16, 24, 24)
    plan, layout = plan_of(RunningCell(), 2, modalities=modalities)
    visible, target = plan.visible["video"], plan.target["video"]
    output = model({"video": Field.of(values)}, plan)
    (stack,) = output.route.stacks.values()
    flat = torch.zeros(2 * 288, dtype=torch.bool)
    flat[stack.tokens["video"]] = True
    assert torch.equal(flat.view(2, 288), visible | target)
    num_globals = 1 if decoder.with_globals else 0
    assert stack.segments.lengths == tuple((visible | target).sum(1).add(num_globals).tolist())
    assert len(output.predictions["video"]) == int(target.sum())
    untouched = VIDEO.elements(~(visible | target), layout.grids["video"])
    changed = model({"video": Field.of(values.where(~untouched, 7.0))}, plan)
    assert torch.equal(changed.loss, output.loss)
    scored = VIDEO.elements(target, layout.grids["video"])
    other = model({"video": Field.of(values.where(~scored, 7.0))}, plan)
    assert not torch.equal(other.loss, output.loss)
    done = model.reconstruct({"video": Field.of(values)}, plan)
    assert torch.equal(done.token_loss["video"] > 0, target)


def test_settings_that_cannot_work_are_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"decode: 0.3 of a cell of 2 x 2 places is not a whole number"):
        RunningCell(decode=0.3)
    with pytest.raises(ValueError, match=r"needs an entry with a token grid of three axes; found picture \[4, 4\]"):
        RunningCell().check(ModalitySet(picture=RGB(size=16, patch=4)))
