from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import THREE, TinySamples, tiny_model

from maetoolkit.evaluate.baselines import compare, compare_done, continuous, mean_map, mean_of_image, predict
from maetoolkit.evaluate.findings import transferable
from maetoolkit.evaluate.plans import given_only, share_visible
from maetoolkit.evaluate.reconstruct import batches, error_by_visible, with_masks
from maetoolkit.evaluate.scores import score, score_of, targets
from maetoolkit.masking.plan import Layout
from maetoolkit.randomness import Draw


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def batch():
    return next(batches(TinySamples(missing=("depth",)), THREE, range(6)))


def layout_of(present):
    flags = {name: np.array(rows, bool) for name, rows in present.items()}
    return Layout(flags, dict.fromkeys(flags), tuple(flags), {name: name for name in flags})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=4), st.floats(0, 1))
def test_a_share_of_the_present_tokens_is_shown_and_a_larger_one_shows_more(present, share):
    layout = layout_of({"a": [row[:4] for row in present], "b": [row[4:] for row in present]})
    draw = Draw.of(0, [str(i) for i in range(len(present))])
    small, large = share_visible(layout, share / 2, draw), share_visible(layout, share, draw)
    for i, row in enumerate(present):
        num_seen = sum(int(flags[i].sum()) for flags in large.visible.values())
        expected = min(max(round(share * sum(row)), 1), max(sum(row) - 1, 1)) if any(row) else 0
        assert num_seen == expected
    for name, flags in large.visible.items():
        assert not (small.visible[name] & ~flags).any()
        assert not (flags & ~torch.from_numpy(layout.present[name])).any()
        assert (large.target[name] == (torch.from_numpy(layout.present[name]) & ~flags)).all()


def test_only_what_is_given_is_visible_and_the_rest_is_predicted(batch):
    layout = Layout.of(THREE, batch.fields)
    plan = given_only(layout, ["rgb"])
    assert plan.visible["rgb"].all()
    assert not plan.visible["depth"].any()
    assert not plan.target["rgb_std"].any()
    assert (plan.target["depth"].numpy() == layout.present["depth"]).all()
    with pytest.raises(ValueError, match="'rgb_std' is not given"):
        given_only(layout, ["rgb_std"])


def test_the_truth_itself_scores_zero_and_the_models_score_is_its_loss(model, batch):
    (done,) = with_masks(model, batch, 1)
    for name in ("rgb", "rgb_std", "depth"):
        truth, _ = targets(THREE, done.patches[THREE.source(name)], name)
        assert score_of(THREE, done, name, truth).sum == 0
    single = next(batches(TinySamples(), THREE, [0]))
    (alone,) = with_masks(model, single, 1)
    for name in THREE.outputs:
        assert score(THREE, alone, name).mean == pytest.approx(float(alone.losses[name]), rel=1e-5)
        assert score(THREE, alone, name, sample=0) == score(THREE, alone, name)


def test_absent_and_invalid_elements_count_in_no_score(model, batch):
    (done,) = with_masks(model, batch, 1)
    _, valid = targets(THREE, done.patches["depth"], "depth")
    assert not valid[1].any()
    assert score(THREE, done, "depth", sample=1).count == 0
    elsewhere = score_of(THREE, done, "depth", torch.zeros(1, 1, 1, 1, 1))
    assert elsewhere.count == score(THREE, done, "depth").count == valid[done.plan.target["depth"]].sum()


def test_the_mean_of_an_image_is_over_its_valid_pixels_per_channel():
    target = torch.arange(2 * 3 * 2 * 2 * 2.0).view(2, 3, 2, 2, 2)
    valid = torch.ones_like(target, dtype=torch.bool)
    valid[0, 0] = False
    mean = mean_of_image(target, valid, num_axes=2)
    assert mean.shape == (2, 1, 2, 2, 2)
    assert mean[0, 0, 1, 0, 0] == target[0, 1:, 1].mean()
    assert mean[1, 0, 0, 1, 1] == target[1, :, 0].mean()


def test_the_mean_map_is_the_mean_over_samples_that_have_the_pixel():
    samples = TinySamples(7, missing=("depth",))
    whole = mean_map(THREE, batches(samples, THREE, range(7), size=7), "depth")
    parts = mean_map(THREE, batches(samples, THREE, range(7), size=2), "depth")
    torch.testing.assert_close(whole, parts)
    (batch,) = batches(samples, THREE, [0, 2, 4, 6])
    target, valid = targets(THREE, THREE["depth"].patchify(THREE["depth"].prepare(batch.fields["depth"])), "depth")
    known = valid.all(0)
    torch.testing.assert_close(whole[0][known], target.mean(0)[known])
    with pytest.raises(ValueError, match="found none"):
        mean_map(THREE, [], "depth")


def test_comparing_gives_model_and_both_means_on_the_same_elements(model):
    found = compare(model, TinySamples(5), THREE, TinySamples(4, prefix="t"), given=("rgb",), target="depth")
    assert set(found) == {"model", "mean_image", "mean_map", "gain", "num"}
    assert found["num"] == 5
    assert found["gain"] == pytest.approx(1 - found["model"] / min(found["mean_image"], found["mean_map"]))
    assert "mean_map" not in compare(model, TinySamples(5), THREE, None, given=("rgb",), target="depth")
    with pytest.raises(ValueError, match="has no mean"):
        compare(model, TinySamples(5), THREE, None, given=("rgb",), target="semantic")
    with pytest.raises(ValueError, match="all of it is given"):
        compare(model, TinySamples(5), THREE, None, given=("rgb",), target="rgb_std")
    assert continuous(THREE) == ("rgb", "rgb_std", "depth")


def test_samples_that_lack_what_is_given_are_left_out(model, batch):
    done = predict(model, batch, ["depth"])
    assert done.plan.target["rgb"][[0, 2, 4]].all()
    assert not done.plan.target["rgb"][[1, 3, 5]].any()
    result = compare_done(THREE, [done], "rgb", None)
    assert result.model.count == result.mean_image.count == 3 * 32 * 32 * 3


def test_labels_have_a_score_and_no_gain(model, batch):
    result = compare_done(THREE, [predict(model, batch, ["rgb"])], "semantic", None)
    assert result.model.mean > 0
    assert math.isnan(result.gain())


def test_error_by_visible_counts_patches_and_covers_every_output(model, batch):
    num_visible, errors = error_by_visible(model, [batch], (0.25, 0.5))
    tokens = (3 * (16 * 3) + 3 * (16 * 2)) / 6
    assert num_visible == [tokens * 0.25, tokens * 0.5]
    assert all(math.isfinite(value) for values in errors.values() for value in values)
    assert set(errors) == set(THREE.outputs)


def test_one_modality_alone_has_nothing_else_to_predict_from_it():
    layout = layout_of({"a": [[True, False]], "b": [[False, False]]})
    assert transferable(layout) == ["a"]
    assert transferable(layout_of({"a": [[True]]})) == []
