from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import NUM_CLASSES, SIZE, THREE, TinySamples, tiny_model

from maetoolkit.evaluate.interaction import (
    choose_patches,
    colour_entry,
    interaction,
    label_map,
    rotate_hue,
    with_hue,
)
from maetoolkit.evaluate.reconstruct import batches
from maetoolkit.modalities.image import RGB, Depth, StandardizedRGB
from maetoolkit.modalities.semantic import Semantic
from maetoolkit.modality import ModalitySet
from maetoolkit.model.outputs import Reconstruction
from maetoolkit.tokens import Batch, Field

WITHOUT_LABELS = ModalitySet(rgb=RGB(size=SIZE, patch=8), depth=Depth(size=SIZE, patch=8))


def colours(seed=0, shape=(2, 3, 4, 4)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def scene():
    """A red square in one half of a grey picture, with labels: 1 where it is, 0 elsewhere; and flat depth."""
    labels = np.zeros((SIZE // 2, SIZE // 2), np.int64)
    labels[4:12, :8] = 1
    picture = np.full((3, SIZE, SIZE), 128, np.uint8)
    wide = labels.repeat(2, 0).repeat(2, 1).astype(bool)
    picture[:, wide] = np.array([[200], [30], [40]], np.uint8)
    values = {"rgb": picture, "depth": np.ones((1, SIZE, SIZE), np.float32), "semantic": labels}
    return Batch({name: Field.of(torch.from_numpy(value)[None]) for name, value in values.items()}, ("a",))


class Copier:
    """Predicts the mean colour of the edited patch all over `region(labels)`, and the truth elsewhere."""

    modalities = THREE
    device = torch.device("cpu")

    def __init__(self, everywhere=False):
        self.everywhere, self.batches, self.plans = everywhere, [], []

    def reconstruct(self, batch, plan):
        self.batches.append(batch)
        self.plans.append(plan)
        patches = {n: THREE[n].patchify(THREE[n].prepare(field)) for n, field in batch.fields.items()}
        labels = batch.fields["semantic"].values.repeat_interleave(2, 1).repeat_interleave(2, 2)
        values = patches["rgb"].values
        cut = THREE["rgb"].cut(labels[:, None].expand(-1, 3, -1, -1))
        (shown,) = plan.visible["rgb"][0].nonzero().unbind(1)
        (edited,) = [int(token) for token in shown if bool((cut[0, token] == 1).all())]
        colour = values[:, edited].mean((2, 3))[:, None, :, None, None].expand_as(values)
        predicted = colour if self.everywhere else values.where(cut != 1, colour)
        return Reconstruction(patches, {"rgb": predicted}, plan, {}, {})


@given(st.integers(-3, 3), st.integers(0, 50))
@settings(max_examples=20)
def test_whole_turns_of_the_hue_change_nothing(turns, seed):
    picture = colours(seed)
    assert torch.equal(rotate_hue(picture, float(turns)), picture)


@given(st.floats(-1, 1), st.integers(0, 50))
@settings(max_examples=30)
def test_a_turn_and_its_opposite_undo_each_other_and_keep_saturation_and_value(turn, seed):
    picture = colours(seed).double()
    turned = rotate_hue(picture, turn)
    assert torch.allclose(turned.amax(1), picture.amax(1), atol=1e-5)
    assert torch.allclose(turned.amin(1), picture.amin(1), atol=1e-5)
    assert torch.allclose(rotate_hue(turned, -turn), picture, atol=1e-5)


def test_a_third_of_a_turn_takes_red_to_green_and_grey_stays_grey():
    red, green, grey = (torch.tensor(c).view(3, 1, 1) for c in ([1.0, 0, 0], [0.0, 1, 0], [0.4, 0.4, 0.4]))
    assert torch.allclose(rotate_hue(red, 1 / 3), green, atol=1e-5)
    assert torch.allclose(rotate_hue(grey, 0.2), grey, atol=1e-6)


@pytest.mark.parametrize("floats", [False, True])
def test_only_the_edited_patch_changes_and_the_others_keep_their_bits(floats):
    entry = THREE["rgb"]
    values = colours(3, (1, 3, SIZE, SIZE))
    values = values if floats else (values * 255).byte()
    before = entry.cut(values)
    after = entry.cut(with_hue(entry, values, 5, 0.3))
    others = [token for token in range(16) if token != 5]
    assert after.dtype == before.dtype
    assert torch.equal(after[:, others], before[:, others])
    assert not torch.equal(after[:, 5], before[:, 5])
    assert torch.equal(with_hue(entry, values, 5, 0.0), values)


def test_the_model_is_given_all_else_and_two_patches_of_which_one_differs():
    model = Copier()
    found = interaction(model, scene(), 0)
    (batch,), (plan,) = model.batches, model.plans
    assert len(batch) == len(found.turns) == len(found.given) == len(found.predicted)
    assert found.others == ("depth", "semantic")
    assert plan.visible["depth"].all()
    assert plan.visible["semantic"].all()
    assert {tuple(flags.nonzero().flatten().tolist()) for flags in plan.visible["rgb"]} == {
        tuple(sorted((found.edited, found.kept)))
    }
    prepared = THREE["rgb"].patchify(THREE["rgb"].prepare(batch.fields["rgb"])).values
    differs = (prepared != prepared[:1]).flatten(2).any(2)
    assert differs.nonzero().tolist() == [[hue, found.edited] for hue in range(1, len(found.turns))]
    for name in ("depth", "semantic"):
        assert (batch.fields[name].values == scene().fields[name].values).all()


def test_a_model_that_recolours_the_region_alone_changes_inside_and_not_outside():
    change = interaction(Copier(), scene(), 0).change
    assert change.inside > 0.1
    assert change.outside < change.inside / 1000
    assert change.matched[1] < change.matched[0] / 1000


def test_a_model_that_recolours_everything_changes_as_much_outside_as_inside():
    change = interaction(Copier(everywhere=True), scene(), 0).change
    assert change.inside == pytest.approx(change.outside)
    assert change.matched == pytest.approx((change.inside, change.inside))


def test_the_edited_patch_is_of_an_uncommon_label_and_the_kept_one_of_the_most_common():
    found = interaction(Copier(), scene(), 0)
    labels = scene().fields["semantic"].values[0].reshape(4, 4, 4, 4).transpose(1, 2).reshape(16, 4, 4)
    assert (labels[found.edited] == 1).all()
    assert (labels[found.kept] == 0).all()


def test_void_is_never_edited_and_without_labels_the_centre_is():
    picture, labels = colours(0, (16, 3, 8, 8)), torch.zeros(16, 8, 8, dtype=torch.long)
    labels[3], labels[9] = -1, 2
    assert choose_patches(picture, labels, (4, 4))[0] == 9
    for nothing in (None, torch.full_like(labels, -1), torch.zeros_like(labels)):
        edited, kept = choose_patches(picture, nothing, (4, 4))
        assert edited == 10
        assert kept == 0


def test_without_labels_there_are_pictures_and_no_numbers():
    fields = {name: field for name, field in scene().fields.items() if name != "semantic"}
    batch = Batch(fields, ("a",))
    found = interaction(tiny_model(WITHOUT_LABELS), batch, 0)
    assert found.change is None
    assert len(found.predicted) == 5
    assert found.truth.shape == found.changed.shape == found.given[0].shape


def test_a_real_model_gives_the_same_every_time_and_its_state_stays_as_it_is():
    (batch,) = batches(TinySamples(missing=("depth",)), THREE, [0, 1])
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one, other = interaction(model, batch, 1), interaction(model, batch, 1)
    assert one.others == ("semantic",)
    assert one.change == other.change
    assert (one.predicted[2] == other.predicted[2]).all()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_samples_without_colour_or_anything_else_are_left_out():
    (batch,) = batches(TinySamples(missing=("rgb",)), THREE, [0, 1])
    assert interaction(tiny_model(), batch, 0) is not None
    assert interaction(tiny_model(), batch, 1) is None
    (alone,) = batches(TinySamples(missing=("depth", "semantic")), THREE, [0, 1])
    assert interaction(tiny_model(), alone, 1) is None
    assert label_map(THREE, alone, 1) is None


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        ({"depth": Depth(size=SIZE, patch=8)}, None),
        ({"depth": Depth(size=SIZE, patch=8, channels=3)}, None),
        ({"bands": RGB(size=SIZE, patch=8, channels=4)}, None),
        ({"rgb": RGB(size=SIZE, patch=8, role="input"), "rgb_std": StandardizedRGB()}, None),
        ({"labels": Semantic(size=SIZE, patch=8, num_classes=NUM_CLASSES), "x": RGB(size=SIZE, patch=8)}, "x"),
    ],
)
def test_colour_is_found_by_what_it_is(entries, name):
    assert colour_entry(ModalitySet(**entries)) == name
    model = SimpleNamespace(modalities=ModalitySet(**entries))
    if name is None:
        assert interaction(model, Batch({}, ("a",)), 0) is None
