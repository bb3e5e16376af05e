from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_points import Points
from maetoolkit_points.grouping import farthest_points, rotation
from maetoolkit_points.network import GroupNet, chamfer

from maetoolkit.masking.share import Share
from maetoolkit.modality import Geometry, Marks, ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import JointDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.randomness import Draw
from maetoolkit.testing import MODALITY_LAWS, Law, ModalityCase
from maetoolkit.tokens import Batch

SMALL = Points(num_points=40, num_groups=8, group_size=6, width=4)


def cloud(draw: np.random.Generator, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Enough points, from a ball that is not about the origin."""
    return (draw.standard_normal((int(draw.integers(40, 60)), 3)) + 5).astype(np.float32)


def exact(points: np.ndarray) -> np.ndarray:
    """Coordinates whose differences float32 holds without rounding."""
    return np.round(points * 4096) / 4096


def stored(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


CASES = {
    "overlapping": ModalityCase(SMALL, examples=cloud),
    "disjoint": ModalityCase(SMALL.replace(overlap=False, normalize=None), examples=cloud),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("law", MODALITY_LAWS, ids=str)
def test_points_keep(law: Law[ModalityCase], case: ModalityCase) -> None:
    assert law(case).held is not False


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    overlap=st.booleans(),
    rotate=st.sampled_from([None, "up", "any"]),
    coarse=st.booleans(),
    training=st.booleans(),
)
def test_the_order_of_points_changes_no_bit(
    seed: int, overlap: bool, rotate: str | None, coarse: bool, training: bool
) -> None:
    draw = np.random.default_rng(seed)
    points = cloud(draw)
    points = points.round(0) if coarse else points  # with ties of distance, and points that come twice
    modality = SMALL.replace(overlap=overlap, rotate=rotate, scale=(0.8, 1.2))
    geometry = Geometry(path=(0, 0, "key") if training else None)
    expected = modality.transform(points, geometry)
    found = modality.transform(points[draw.permutation(len(points))], geometry)
    np.testing.assert_array_equal(found, expected)


def test_the_order_of_points_leaves_the_loss_as_it_is() -> None:
    draw = np.random.default_rng(0)
    clouds, keys = [cloud(draw) for _ in range(3)], ("a", "b", "c")
    encoder, decoder = ViT(dim=24, depth=1, heads=2), JointDecoder(dim=24, depth=1, heads=2)
    model = MaskedAutoencoder(ModalitySet(points=SMALL), encoder, decoder, Share(ratio=0.6)).eval()

    def loss(clouds: list[np.ndarray]) -> float:
        field = SMALL.collate([SMALL.transform(each, Geometry()) for each in clouds])
        return float(model(Batch({"points": field}, keys, Draw.of(0, keys))).loss.detach())

    assert loss(clouds) == loss([each[draw.permutation(len(each))] for each in clouds])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 5))
def test_the_order_of_points_within_a_group_leaves_chamfer_and_tokens_as_they_are(seed: int, num: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    prediction, target = torch.randn(3, num, 3, generator=draw), torch.randn(3, num, 3, generator=draw)
    order = torch.randperm(num, generator=draw)
    expected = chamfer(prediction, target, None)
    torch.testing.assert_close(chamfer(prediction, target[:, order], None), expected)
    torch.testing.assert_close(chamfer(prediction[:, order], target, None), expected)
    net = GroupNet(4, 8)
    torch.testing.assert_close(net(target[:, order]), net(target))


def test_chamfer_is_the_sum_of_two_means_of_squared_distances() -> None:
    draw = np.random.default_rng(0)
    a, b = draw.standard_normal((4, 6, 3)), draw.standard_normal((4, 6, 3))
    valid = draw.random((4, 6)) < 0.5
    valid[0], valid[1] = True, False
    found = chamfer(torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(valid))
    for each, (p, t, known) in enumerate(zip(a, b, valid, strict=True)):
        true = t[known]
        one = [min(np.square(x - y).sum() for y in true) for x in p] if len(true) else [0]
        other = [min(np.square(x - y).sum() for x in p) for y in true] if len(true) else [0]
        assert float(found[each]) == pytest.approx(np.mean(one) + np.mean(other), rel=1e-5)
    assert found.dtype == torch.float32


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16))
def test_centres_are_farthest_points_and_groups_are_as_declared(seed: int) -> None:
    draw = np.random.default_rng(seed)
    points = exact(draw.standard_normal((40, 3)))
    wide = SMALL.replace(normalize=None, group_size=40)
    for overlap in (True, False):
        modality = wide.replace(overlap=overlap)
        groups = modality.transform(points, Geometry()).astype(float)
        centres, around = groups[:, 0], groups[:, 1:] + groups[:, :1]
        assert {tuple(centre) for centre in centres} <= {tuple(point) for point in points}
        first = np.linalg.norm(points - points.mean(0), axis=1).argmax()
        np.testing.assert_allclose(centres[0], points[first], atol=1e-5)
        for number in range(1, 8):
            to_chosen = np.linalg.norm(points[:, None] - centres[:number], axis=2).min(1)
            mine = np.linalg.norm(centres[number] - centres[:number], axis=1).min()
            assert mine == pytest.approx(to_chosen.max(), abs=1e-4)
        members = [each[np.isfinite(each[:, 0])] for each in around]
        if overlap:
            assert all(len(each) == 40 for each in members)
        else:
            every = np.concatenate(members)
            assert len(every) == 40, "each point is in exactly one group"
            np.testing.assert_allclose(every[np.lexsort(every.T)], points[np.lexsort(points.T)], atol=1e-5)
            for centre, each in zip(centres, members, strict=True):
                mine = np.linalg.norm(each - centre, axis=1)
                others = np.linalg.norm(each[:, None] - centres, axis=2).min(1)
                np.testing.assert_allclose(mine, others, atol=1e-4)


def test_a_group_keeps_its_nearest_points() -> None:
    points = np.random.default_rng(0).standard_normal((40, 3))
    groups = SMALL.replace(normalize=None).transform(points, Geometry()).astype(float)
    for group in groups:
        expected = np.sort(np.linalg.norm(points - group[0], axis=1))[:6]
        np.testing.assert_allclose(np.linalg.norm(group[1:], axis=1), expected, atol=1e-5)


def test_only_overlapping_groups_show_points_of_hidden_ones() -> None:
    """What the README says of the published grouping: the strict law holds for points only without overlap."""
    points = np.random.default_rng(0).standard_normal((1024, 3))
    points = exact(points / np.linalg.norm(points, axis=1, keepdims=True))
    shared = {}
    for overlap in (True, False):
        groups = Points(overlap=overlap, normalize=None).transform(points, Geometry()).astype(float)
        whole = groups[:, 1:] + groups[:, :1]
        seen = {tuple(point) for point in whole[::2].reshape(-1, 3) if np.isfinite(point[0])}
        hidden = [tuple(point) for point in whole[1::2].reshape(-1, 3) if np.isfinite(point[0])]
        shared[overlap] = np.mean([point in seen for point in hidden])
    assert shared[True] > 0.3
    assert shared[False] == 0


def test_slots_that_a_group_lacks_repeat_its_points_and_do_not_count() -> None:
    modality = SMALL.replace(overlap=False)
    points = cloud(np.random.default_rng(0))
    field = modality.collate([modality.transform(points, Geometry())])
    patches = modality.patchify(modality.prepare(field))
    assert patches.values.isfinite().all()
    assert patches.valid is not None
    num = patches.valid[0, :, :, 0].sum(1)
    assert int(num.min()) >= 1
    assert int(num.min()) < 6
    assert modality.token_count(patches.values[0], patches.valid[0]).tolist() == num.tolist()
    for values, count in zip(patches.values[0], num.tolist(), strict=True):
        np.testing.assert_array_equal(values, values[torch.arange(6) % count])


def test_normalised_clouds_lie_about_the_origin_in_the_unit_sphere() -> None:
    points = cloud(np.random.default_rng(0)) * 7
    modality = SMALL.replace(num_points=len(points), num_groups=len(points), group_size=1)
    centres = modality.transform(points, Geometry())[:, 0]
    np.testing.assert_allclose(centres.mean(0), 0, atol=1e-6)
    assert np.linalg.norm(centres, axis=1).max() == pytest.approx(1)
    far = SMALL.replace(normalize=None, num_points=len(points), num_groups=len(points), group_size=1)
    assert far.transform(points, Geometry())[:, 0].mean() > 20


@pytest.mark.parametrize("about", ["x", "y", "z", None])
def test_rotations_are_rotations_and_keep_their_axis(about: str | None) -> None:
    matrices = [rotation(np.random.default_rng(seed), about) for seed in range(200)]
    for matrix in matrices:
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)
        if about is not None:
            axis = np.eye(3)["xyz".index(about)]
            np.testing.assert_allclose(matrix @ axis, axis, atol=1e-12)
    spread = np.mean(matrices, axis=0) - (0 if about is None else np.outer(axis, axis))
    assert np.abs(spread).max() < 0.2


def test_training_turns_and_scales_by_the_sample_s_key_alone() -> None:
    points = cloud(np.random.default_rng(0))
    modality = SMALL.replace(rotate="any", scale=(0.5, 2.0))
    one, again, other = (modality.transform(points, Geometry(path=(0, 0, key))) for key in ("a", "a", "b"))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)
    np.testing.assert_array_equal(
        modality.transform(points, Geometry()), SMALL.transform(points, Geometry(flip=True, top=0.3))
    )


def test_what_is_no_cloud_is_refused_with_a_reason() -> None:
    points = cloud(np.random.default_rng(0))
    nan = points.copy()
    nan[3, 1] = np.nan
    np.testing.assert_array_equal(SMALL.read(stored(points)), points)
    assert SMALL.read(stored(points.astype(np.float16))).dtype == np.float16
    for data, reason in [
        (stored(points[:30]), "expected at least 40 points, found 30; lower `num_points`"),
        (stored(nan), "expected finite coordinates, found NaN or infinity"),
        (stored(np.concatenate([points, points], 1)), r"expected points \(P, 3\) of x, y, z, found float32 of shape"),
        (stored(points.T.copy()), r"expected points \(P, 3\)"),
        (stored(points > 0), "found bool of shape"),
        (b"ply\nformat ascii 1.0", "expected an npy array of points"),
        (b"", "the file is empty"),
        (stored(points)[:200], "truncated npy array"),
    ]:
        with pytest.raises(ValueError, match=reason):
            SMALL.read(data)
    with pytest.raises(ValueError, match="all points coincide"):
        SMALL.transform(np.ones((40, 3)), Geometry())
    with pytest.raises(ValueError, match="as `collate` makes them of what `transform` returns"):
        MaskedAutoencoder(ModalitySet(points=SMALL), ViT(dim=24, depth=1, heads=2), masking=Share())(
            {"points": torch.zeros(2, 40, 3)}
        )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"num_groups": 41}, "num_groups: expected at most the 40 of num_points, found 41"),
        ({"group_size": 41}, "group_size: expected at most the 40 of num_points, found 41"),
        ({"scale": (2, 1)}, "scale: expected low <= high"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        SMALL.replace(**settings)


def test_points_that_come_twice_are_chosen_once() -> None:
    points = np.repeat(np.eye(3), 4, axis=0)
    assert sorted(farthest_points(points, 12).tolist()) == list(range(12))
    for overlap in (True, False):
        groups = Points(num_points=12, num_groups=12, group_size=3, overlap=overlap).transform(points, Geometry())
        assert np.isfinite(groups[:, :2]).all()


def test_a_picture_shows_what_is_given_made_and_hidden() -> None:
    field = SMALL.prepare(SMALL.collate([SMALL.transform(cloud(np.random.default_rng(0)), Geometry())]))
    patches = SMALL.patchify(field)
    every = torch.ones(8, dtype=torch.bool)

    def drawn(hidden: torch.Tensor, predicted: torch.Tensor) -> np.ndarray:
        marks = Marks(every, hidden, predicted, positions=patches.positions[0])
        picture = SMALL.draw(patches.values[0], None, marks, patches.values[0])
        assert picture is not None
        return picture.astype(int)

    given, made, hidden = drawn(~every, ~every), drawn(~every, every), drawn(every, ~every)
    assert given.shape == made.shape == hidden.shape
    bluer = [(picture[..., 2] > picture[..., 0] + 20).sum() for picture in (given, made, hidden)]
    redder = [(picture[..., 0] > picture[..., 2] + 20).sum() for picture in (given, made, hidden)]
    assert bluer[0] > 500 > bluer[1] == bluer[2] == 0
    assert redder[1] > 500 > redder[0] == redder[2] == 0
    assert len(np.unique(hidden.reshape(-1, 3), axis=0)) == 2


def test_importing_the_plugin_imports_no_torch() -> None:
    script = "import sys, maetoolkit_points as p; p.Points(); print('torch' in sys.modules, 'numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]
