from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_normals import Normals

from maetoolkit.data.scenes import Scenes
from maetoolkit.modality import Geometry, ModalitySet
from maetoolkit.testing import MODALITY_LAWS, Law, ModalityCase
from maetoolkit.tokens import Field


def scene(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """int8 unit vectors with sky, as the scenes source delivers them."""
    vectors = draw.standard_normal((*shape, 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.rint(vectors * 127 * (draw.random(shape) > 0.2)[..., None]).astype(np.int8)


def floats(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = scene(draw, shape) / np.float32(127)
    return np.where(draw.random(shape)[..., None] < 0.1, np.nan, values).astype(np.float32)


@pytest.mark.parametrize("examples", [scene, floats])
@pytest.mark.parametrize("law", MODALITY_LAWS, ids=str)
def test_normals_keep(law: Law[ModalityCase], examples) -> None:
    assert law(ModalityCase(Normals(size=(8, 12), patch=4), examples=examples)).held


def test_a_flip_mirrors_columns_and_the_x_component() -> None:
    value = np.zeros((4, 4, 3), np.int8)
    value[1, 0] = (100, 20, 30)
    flipped = Normals(size=4, patch=2).transform(value, Geometry(flip=True))
    assert flipped[:, 1, 3].tolist() == [-100, 20, 30]
    assert np.count_nonzero(flipped) == 3


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 1e4), st.integers(0, 2**16))
def test_the_loss_is_one_minus_cosine_over_valid_pixels_whatever_the_length(length: float, seed: int) -> None:
    normals, draw = Normals(size=4, patch=4), np.random.default_rng(seed)
    raw = torch.from_numpy(draw.standard_normal((2, 3, 4, 4)).astype(np.float32))
    raw[0, :, 0, 0] = 0
    prepared = normals.prepare(Field.of(raw))
    patches = normals.patchify(prepared)
    target, valid = patches.values[:, 0], patches.valid[:, 0]
    other = torch.from_numpy(draw.standard_normal((2, 3, 4, 4)).astype(np.float32))
    total, count = normals.token_loss(length * other, target, valid)
    cosine = torch.cosine_similarity(other, raw, dim=1)
    cosine[0, 0, 0] = 1
    torch.testing.assert_close(total, (1 - cosine).sum((1, 2)), rtol=1e-4, atol=1e-4)
    assert count.tolist() == [15, 16]


def test_normals_of_scenes_are_unit_vectors_that_face_the_camera_mostly() -> None:
    normals = Normals(size=32, patch=8)
    samples = Scenes(size=32, num_train=4).open(ModalitySet(normals=normals), "train")
    assert samples is not None
    values = [normals.transform(samples.read(i)["normals"], Geometry()) for i in range(4)]
    field = normals.prepare(normals.collate(values))
    length = field.values.norm(dim=1, keepdim=True)
    torch.testing.assert_close(length, field.valid.float(), rtol=1e-5, atol=1e-5)
    assert field.valid.float().mean() > 0.3
    assert (field.values[:, 2:][field.valid] > 0).float().mean() > 0.7


def test_files_that_are_not_signed_vectors_are_refused() -> None:
    def stored(array: np.ndarray) -> bytes:
        file = io.BytesIO()
        np.save(file, array)
        return file.getvalue()

    good = np.ones((2, 3, 3), np.float32)
    np.testing.assert_array_equal(Normals().read(stored(good)), good)
    for wrong in (np.ones((2, 3), np.float32), np.ones((2, 3, 3), np.uint8), np.ones((3, 3, 2), np.int8)):
        with pytest.raises(ValueError, match=r"expected signed normals \(H, W, 3\)"):
            Normals().read(stored(wrong))


def test_importing_the_plugin_imports_no_torch() -> None:
    script = "import sys, maetoolkit_normals as n; n.Normals(); print('torch' in sys.modules, 'numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]
