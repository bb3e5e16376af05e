from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import NUM_CLASSES, THREE, TinySamples, tiny_model

from maetoolkit.evaluate.figures import reconstruction_figure, transfer_figure
from maetoolkit.evaluate.legend import legend_of
from maetoolkit.evaluate.pictures import GROUND, HATCH, cover, enlarge, pixels_of
from maetoolkit.evaluate.reconstruct import batches, choose, views, with_masks
from maetoolkit.modalities.palette import VOID, colour_map, palette, scale


@pytest.fixture(scope="module")
def masks():
    (batch,) = batches(TinySamples(missing=("depth",)), THREE, [0, 1, 2])
    return with_masks(tiny_model(num_visible=24), batch, 2)


@pytest.mark.parametrize("name", ["rgb", "rgb_std", "depth", "semantic"])
def test_visible_patches_in_a_prediction_are_exactly_those_of_the_truth(masks, name):
    for done in masks:
        view = views(THREE, done, 0)[name]
        visible = done.plan.visible[THREE.source(name)][0].numpy()
        seen = pixels_of(visible, (4, 4), *view.truth.shape[:2])
        assert 0 < seen.sum() < seen.size, "choose another number of visible tokens"
        assert (view.predicted[seen] == view.truth[seen]).all()
        assert (view.predicted[~seen] != view.truth[~seen]).any()


@pytest.mark.parametrize("name", ["rgb", "depth", "semantic"])
def test_hidden_patches_show_nothing_but_the_pattern(masks, name):
    view = views(THREE, masks[0], 0)[name]
    seen = pixels_of(masks[0].plan.visible[name][0].numpy(), (4, 4), *view.truth.shape[:2])
    assert (view.masked[seen] == view.truth[seen]).all()
    assert {tuple(colour) for colour in view.masked[~seen]} <= {GROUND, HATCH}
    assert (view.given == view.truth).all()


def test_pixels_that_were_not_measured_are_blank_in_the_truth(masks):
    view = views(THREE, masks[0], 0)["depth"]
    factor = view.truth.shape[0] // 32
    assert (view.truth[: 3 * factor, : 5 * factor] == VOID).all()
    assert (view.truth[3 * factor :] != VOID).any(axis=-1).all()


def test_an_entry_that_is_absent_has_no_pictures_and_no_loss(masks):
    view = views(THREE, masks[0], 1)["depth"]
    assert not view.present
    assert (view.given, view.masked, view.predicted, view.truth, view.loss) == (None,) * 5


def test_masks_are_the_same_every_time_and_differ_from_each_other(masks):
    (batch,) = batches(TinySamples(missing=("depth",)), THREE, [0, 1, 2])
    again = with_masks(tiny_model(num_visible=24), batch, 2)
    for one, other in zip(masks, again, strict=True):
        assert all((one.plan.visible[n] == other.plan.visible[n]).all() for n in one.plan.visible)
    assert any((masks[0].plan.visible[n] != masks[1].plan.visible[n]).any() for n in masks[0].plan.visible)


def test_chosen_samples_are_fixed_and_never_more_than_there_are():
    assert choose(500, 6, 1) == choose(500, 6, 1) != choose(500, 6, 2)
    assert choose(3, 6) == [0, 1, 2]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 300))
def test_enlarging_repeats_whole_pixels(height, width, at_least):
    picture = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    large = enlarge(picture, at_least)
    factor = large.shape[0] // height
    assert min(large.shape[:2]) >= at_least
    assert (large[::factor, ::factor] == picture).all()


def test_grids_that_do_not_lie_over_the_picture_get_no_pattern():
    assert pixels_of(np.ones(8, bool), (2, 2, 2), 16, 16) is None
    assert pixels_of(np.ones(9, bool), (3, 3), 16, 16) is None
    assert pixels_of(np.ones(4, bool), None, 16, 16) is None
    assert pixels_of(np.array([True, False]), (2,), 4, 4)[:, :2].all()


def test_the_pattern_covers_what_is_hidden_alone():
    picture = np.full((16, 16, 3), 7, np.uint8)
    hidden = np.zeros((16, 16), bool)
    hidden[:8] = True
    assert (cover(picture, hidden)[8:] == 7).all()
    assert not (cover(picture, hidden)[:8] == 7).any()


def test_classes_have_different_colours_that_do_not_depend_on_how_many_there_are():
    assert len(np.unique(palette(200), axis=0)) == 200
    assert (palette(7) == palette(200)[:7]).all()
    assert palette(200).dtype == np.uint8
    assert VOID not in {tuple(colour) for colour in palette(200).tolist()}
    assert palette(0).shape == (0, 3)


def test_the_colour_map_clips_and_blanks_what_is_not_a_number():
    colours = colour_map(np.array([[-1.0, 0.0, 1.0, 9.0, np.nan]]))
    assert (colours[0, 0] == colours[0, 1]).all()
    assert (colours[0, 2] == colours[0, 3]).all()
    assert tuple(colours[0, 4]) == VOID


def test_a_legend_lists_the_labels_that_occur_and_a_scale_becomes_a_bar():
    colours = palette(NUM_CLASSES)
    picture = np.broadcast_to(colours[[1, 1, 3]], (2, 3, 3))
    legend = legend_of(THREE["semantic"], [picture, None])
    assert [name for name, _ in legend.labels] == ["1", "3"]

    class Scaled:
        def legend(self):
            return scale("low", "high", 8)

    bar = legend_of(Scaled(), [])
    assert (len(bar.bar), bar.low, bar.high) == (8, "low", "high")


def test_figures_have_a_row_for_every_entry(masks):
    figure = reconstruction_figure(THREE, masks, 0, tile=64)
    assert figure.height > 4 * 64
    assert figure.width > 6 * 64
    absent = reconstruction_figure(THREE, masks, 1, tile=64)
    assert absent.width == figure.width
    assert transfer_figure(THREE, {"rgb": masks[0]}, 0, tile=64).height > 2 * 64
