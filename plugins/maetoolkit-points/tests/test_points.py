from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_points.cases import SMALL, cloud, disjoint, overlapping
from maetoolkit_points.network import GroupNet, chamfer

from maetoolkit.data.collate import evaluation_batch
from maetoolkit.data.folder import Folder
from maetoolkit.errors import DataError
from maetoolkit.masking.share import Share
from maetoolkit.modality import Geometry, Marks, ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import JointDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.randomness import Draw
from maetoolkit.testing import MODALITY_LAWS, Law, ModalityCase
from maetoolkit.tokens import Batch
from maetoolkit.train.recipe import load_recipe


def stored(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


CASES = {"overlapping": overlapping(), "disjoint": disjoint()}


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
    stray = np.concatenate([np.random.default_rng(0).random((40, 3)), [[1e300, 0, 0]]])
    with pytest.raises(ValueError, match=r"expected coordinates up to 1e\+15, found 1e\+300; remove the stray point"):
        SMALL.transform(stray, Geometry())
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


def test_a_folder_of_clouds_is_read_and_what_is_wrong_is_told_with_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "points" / "chair"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        np.save(folder / f"{name}.npy", cloud(np.random.default_rng(ord(name))).astype(np.float16))
    modalities, source = ModalitySet(points=SMALL), Folder(root=str(tmp_path))
    samples = source.open(modalities, "train")
    assert samples is not None
    assert [samples.key(0), samples.key(1)] == ["chair/a", "chair/b"]
    batch = evaluation_batch(samples, modalities, [0, 1])
    assert batch.fields["points"].values.shape == (2, 8, 7, 3)
    np.save(folder / "b.npy", np.zeros((7, 3)))
    with pytest.raises(DataError, match=r"chair/b\.npy: expected at least 40 points, found 7; lower `num_points`"):
        samples.read(1)


def test_the_recipe_is_valid() -> None:
    recipe = load_recipe("points-modelnet10-small")
    assert recipe.modality_set["points"].num_tokens == 64
