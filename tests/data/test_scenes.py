from __future__ import annotations

import numpy as np
import pytest

from maetoolkit.data.scenes import CLASSES, STREAMS, Scenes
from maetoolkit.data.scenes_render import render
from maetoolkit.data.scenes_world import World, draw_world
from maetoolkit.errors import ConfigError
from maetoolkit.modalities import RGB, Depth, Semantic
from maetoolkit.modality import ModalitySet
from maetoolkit.randomness import generator

MODALITIES = ModalitySet(rgb=RGB(size=32), depth=Depth(size=32), semantic=Semantic(num_classes=len(CLASSES), size=32))
ALL = frozenset(STREAMS)
SKY, FLOOR, WALL, CEILING = (CLASSES.index(name) for name in ("sky", "floor", "wall", "ceiling"))


def world(index: int) -> World:
    return draw_world(generator("test", index))


def points(scene: World, depth: np.ndarray) -> np.ndarray:
    """Back-projected world coordinates (H, W, 3) in metres, by formulas of the pinhole alone."""
    height, width = depth.shape
    rows, columns = np.mgrid[:height, :width]
    focal = height / 2 / scene.camera.tangent
    x, y = (columns + 0.5 - width / 2) / focal, (height / 2 - rows - 0.5) / focal
    camera = scene.camera
    rays = camera.forward + x[..., None] * camera.right + y[..., None] * camera.up
    return camera.position + rays * (depth[..., None] / 1000)


@pytest.mark.parametrize("index", range(12))
def test_depth_lies_exactly_on_the_surface_that_the_label_names(index: int) -> None:
    scene = world(index)
    views = render(scene, (48, 64), ALL)
    where, label = points(scene, views["depth"].astype(float)), views["semantic"]
    millimetre = 2.5e-3  # rounding of depth, times the obliqueness of the ray
    assert np.abs(where[label == FLOOR][:, 1]).max(initial=0) < millimetre
    assert np.abs(where[label == CEILING][:, 1] - scene.half[1]).max(initial=0) < millimetre
    walls = np.abs(where[label == WALL])[:, ::2] - scene.half[::2]
    assert np.abs(walls.max(1)).max(initial=0) < millimetre
    for shape in ("sphere", "box", "cylinder"):
        mine = where[label == CLASSES.index(shape)]
        solids = [s for s in scene.solids if s.shape == shape]
        if not len(mine):
            continue
        gaps = []
        for solid in solids:
            offset = mine - solid.centre
            c, s = np.cos(solid.yaw), np.sin(solid.yaw)
            turned = np.stack(
                [c * offset[:, 0] - s * offset[:, 2], offset[:, 1], s * offset[:, 0] + c * offset[:, 2]], 1
            )
            if shape == "sphere":
                gaps.append(np.linalg.norm(offset, axis=1) - solid.half[0])
            elif shape == "box":
                gaps.append((np.abs(turned) - solid.half).max(1))
            else:
                side = np.hypot(turned[:, 0], turned[:, 2]) - solid.half[0]
                gaps.append(np.maximum(side, np.abs(turned[:, 1]) - solid.half[1]))
        assert np.abs(np.array(gaps)).min(0).max() < millimetre
    assert (views["depth"][label == SKY] == 0).all()
    assert (views["depth"][label != SKY] > 0).all()


@pytest.mark.parametrize("index", range(6))
def test_normals_are_unit_face_the_camera_and_agree_with_depth(index: int) -> None:
    scene = world(index)
    views = render(scene, (96, 96), ALL)
    normals = views["normals"].astype(float) / 127
    seen = views["semantic"] != SKY
    assert np.abs(np.linalg.norm(normals[seen], axis=-1) - 1).max() < 0.02
    where = points(scene, views["depth"].astype(float))
    camera = scene.camera
    axes = np.stack([camera.right, camera.up, -camera.forward])
    towards = (camera.position - where) @ axes.T
    assert ((normals * towards).sum(-1)[seen] > -0.02 * np.linalg.norm(towards, axis=-1)[seen]).all()
    dx, dy = where[1:-1, 2:] - where[1:-1, :-2], where[:-2, 1:-1] - where[2:, 1:-1]
    cross = np.cross(dx, dy) @ axes.T
    cross /= np.linalg.norm(cross, axis=-1, keepdims=True) + 1e-12
    flat = np.ones((94, 94), bool)  # the same surface on all sides
    for shift in ((0, 1), (2, 1), (1, 0), (1, 2)):
        near = normals[shift[0] : shift[0] + 94, shift[1] : shift[1] + 94]
        flat &= (near * normals[1:-1, 1:-1]).sum(-1) > 0.995
        flat &= views["semantic"][shift[0] : shift[0] + 94, shift[1] : shift[1] + 94] == views["semantic"][1:-1, 1:-1]
    flat &= seen[1:-1, 1:-1]
    assert np.median((cross * normals[1:-1, 1:-1]).sum(-1)[flat]) > 0.99


def test_depth_jumps_at_the_edges_of_labels_and_is_a_plane_between() -> None:
    for index in range(6):
        views = render(world(index), (96, 96), ALL)
        depth, label = views["depth"].astype(float), views["semantic"]
        for plane in (FLOOR, CEILING):
            inside = (label[:, :-2] == plane) & (label[:, 1:-1] == plane) & (label[:, 2:] == plane)
            bend = np.abs(np.diff(1000 / np.maximum(depth, 1), n=2, axis=1))  # 1 / depth is linear on a plane
            assert bend[inside].max(initial=0) < 2e-3
        jump = (np.abs(np.diff(depth, axis=1)) > 600) & (depth[:, 1:] > 0) & (depth[:, :-1] > 0)
        left, right = label[:, :-1][jump], label[:, 1:][jump]
        assert not ((left == right) & (left == FLOOR)).any()
        assert (left != right).sum() > 20


def test_a_scene_depends_on_world_subset_and_index_alone() -> None:
    def read(index: int, subset: str = "train", **settings: object) -> np.ndarray:
        samples = Scenes(size=32, **settings).open(MODALITIES, subset)  # type: ignore[arg-type]
        return samples.read(index)["rgb"]  # type: ignore[union-attr, return-value]

    first = read(3)
    np.testing.assert_array_equal(first, read(3, num_train=5, num_validation=7, workers=0))
    for other in (read(4), read(3, "validation"), read(3, world=1)):
        assert not np.array_equal(first, other)


def test_a_remembered_scene_is_the_same_and_may_be_written_to() -> None:
    source = Scenes(size=24, num_train=5)
    samples, forgetful = source.open(MODALITIES, "train"), source.replace(cache=0).open(MODALITIES, "train")
    assert samples is not None
    assert forgetful is not None
    for index in (3, 3, 1, 3):
        values, fresh = samples.read(index), forgetful.read(index)
        for name, value in values.items():
            np.testing.assert_array_equal(value, fresh[name])  # type: ignore[arg-type]
            value[:] = 0  # type: ignore[index]


def test_geometry_does_not_depend_on_the_resolution() -> None:
    scene = world(1)
    small, large = (render(scene, (n, n), ALL)["depth"].astype(float) for n in (33, 99))
    np.testing.assert_allclose(small, large[1::3, 1::3], atol=1)


@pytest.mark.parametrize("size", [(1, 1), (7, 31), (64, 16)])
def test_any_resolution_gives_arrays_of_the_declared_types(size: tuple[int, int]) -> None:
    views = render(world(0), size, ALL)
    assert {name: (v.dtype.name, v.shape) for name, v in views.items()} == {
        "rgb": ("uint8", (*size, 3)),
        "depth": ("uint16", size),
        "semantic": ("uint8", size),
        "normals": ("int8", (*size, 3)),
    }


def test_brightness_does_not_give_depth_away() -> None:
    correlations = []
    for index in range(40):
        views = render(world(index), (32, 32), ALL)
        seen = views["depth"] > 0
        correlations.append(np.corrcoef(views["rgb"].mean(-1)[seen], views["depth"][seen])[0, 1])
    assert abs(np.mean(correlations)) < 0.3
    assert np.std(correlations) > 0.1


def test_every_class_and_many_depths_are_seen() -> None:
    views = [render(world(index), (32, 32), ALL) for index in range(40)]
    counts = np.bincount(np.concatenate([v["semantic"].ravel() for v in views]), minlength=len(CLASSES))
    assert (counts > 0.01 * counts.sum()).all()
    depths = np.concatenate([v["depth"][v["depth"] > 0] for v in views])
    assert np.percentile(depths, 95) > 2.5 * np.percentile(depths, 5)


def test_worlds_are_pinned_for_all_time() -> None:
    scene = draw_world(generator("scenes", 0, "train", 0))
    assert len(scene.solids) == 6
    np.testing.assert_allclose(scene.half, [2.54289, 3.21497, 3.2418], atol=1e-4)
    np.testing.assert_allclose(scene.light, [-0.02572, 2.94744, 0.94306], atol=1e-4)


def test_wrong_streams_and_too_few_classes_are_configuration_errors() -> None:
    with pytest.raises(ConfigError, match="no stream 'thermal'"):
        Scenes(streams={"depth": "thermal"}).open(MODALITIES, "train")
    with pytest.raises(ConfigError, match="7 classes, found 3"):
        Scenes().open(ModalitySet(rgb=RGB(), semantic=Semantic(num_classes=3)), "train")
    assert Scenes(num_validation=0).open(MODALITIES, "validation") is None
