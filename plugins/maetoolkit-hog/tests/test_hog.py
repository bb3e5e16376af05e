"""Histograms of oriented gradients: equal to the definition, and as invariant as it says."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_hog import HOG, maetoolkit_cases
from maetoolkit_hog.histograms import EPS, histograms

from maetoolkit.cli import main
from maetoolkit.errors import ConfigError
from maetoolkit.modalities.image import RGB, Depth
from maetoolkit.modalities.semantic import Semantic
from maetoolkit.modality import Modality
from maetoolkit.randomness import Draw
from maetoolkit.testing import TARGET_LAWS, Law, TargetCase
from maetoolkit.testing.sequence import Numbers
from maetoolkit.tokens import Batch, Field

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))


def reference(image: np.ndarray, bins: int, cell: tuple[int, int]) -> np.ndarray:
    """The definition, pixel by pixel: (C, H, W) -> (C, h, w, K)."""
    channels, height, width = image.shape
    found = np.zeros((channels, height // cell[0], width // cell[1], bins))
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                gx = image[c, y, x + 1] - image[c, y, x - 1] if 0 < x < width - 1 else 0.0
                gy = image[c, y + 1, x] - image[c, y - 1, x] if 0 < y < height - 1 else 0.0
                degrees = math.degrees(math.atan2(gy, gx)) % 180
                (votes_for,) = [k for k in range(bins) if k * 180 / bins <= degrees < (k + 1) * 180 / bins]
                found[c, y // cell[0], x // cell[1], votes_for] += math.sqrt(gx**2 + gy**2) / (cell[0] * cell[1])
        for row in found[c]:
            for histogram in row:
                histogram /= math.sqrt(sum(value**2 for value in histogram) + EPS**2)
    return found


def measured(images: np.ndarray, bins: int = 9, cell: tuple[int, int] = (4, 4)) -> np.ndarray:
    pixels = torch.from_numpy(images)
    return histograms(pixels, torch.ones_like(pixels, dtype=torch.bool), bins, cell).numpy()


def features(description: HOG, entry: Modality, values: torch.Tensor, present: torch.Tensor | None = None):
    """Features (B, N, D) of a batch of one entry."""
    keys = tuple(map(str, range(len(values))))
    field = Field.of(values) if present is None else Field(values, present)
    return TargetCase(description, entry).teacher()(Batch({"entry": field}, keys, Draw.of(0, keys)))


@pytest.mark.parametrize("case", maetoolkit_cases())
@pytest.mark.parametrize("law", TARGET_LAWS, ids=str)
def test_hog_keeps(law: Law[TargetCase], case: str) -> None:
    assert law(maetoolkit_cases()[case]()).held


@settings(max_examples=25, deadline=None, database=None)
@given(SHAPES, st.integers(1, 12), st.integers(0, 2**16))
def test_they_are_those_of_the_definition(shape: tuple[int, ...], bins: int, seed: int) -> None:
    rows, columns, high, wide = shape
    image = np.random.default_rng(seed).random((2, rows * high, columns * wide))
    found = measured(image[None], bins, (high, wide))[0]
    np.testing.assert_allclose(found, reference(image, bins, (high, wide)), rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None, database=None)
@given(SHAPES, st.sampled_from([2, 4, 8, 10]), st.integers(0, 2**16))
def test_a_quarter_turn_of_the_image_moves_cells_and_permutes_bins(shape, bins: int, seed: int) -> None:
    rows, columns, high, wide = shape
    image = np.random.default_rng(seed).random((1, 1, rows * high, columns * wide))
    turned = measured(np.rot90(image, axes=(2, 3)).copy(), bins, (wide, high))
    expected = np.roll(np.rot90(measured(image, bins, (high, wide)), axes=(2, 3)), bins // 2, axis=-1)
    np.testing.assert_allclose(turned, expected, atol=1e-9)


@settings(max_examples=25, deadline=None, database=None)
@given(st.integers(1, 11), st.integers(0, 2**16))
def test_a_mirror_reverses_bins_and_half_a_turn_keeps_them(bins: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((1, 2, 16, 20))
    found = measured(image, bins)
    mirrored, half = measured(image[..., ::-1].copy(), bins), measured(image[..., ::-1, ::-1].copy(), bins)
    np.testing.assert_allclose(half, found[:, :, ::-1, ::-1], atol=1e-9)
    inner = np.s_[:, :, 1:-1, 1:-1]  # at an edge gradients lie exactly along it, between two bins, and stay there
    np.testing.assert_allclose(mirrored[inner], found[:, :, :, ::-1, ::-1][inner], atol=1e-9)


@settings(max_examples=25, deadline=None, database=None)
@given(st.floats(0.2, 50), st.floats(-9, 9), st.integers(0, 2**16))
def test_contrast_brightness_and_sign_of_a_channel_make_no_difference(scale: float, offset: float, seed: int) -> None:
    image = np.random.default_rng(seed).random((1, 2, 8, 12))
    for changed in (image * scale + offset, 1 - image):
        np.testing.assert_allclose(measured(changed), measured(image), atol=1e-6)


def test_a_constant_image_has_no_gradient_and_a_ramp_has_one() -> None:
    assert not measured(np.full((2, 3, 8, 8), 0.7)).any()
    ramp = np.broadcast_to(np.arange(12.0), (1, 1, 8, 12)).copy()
    np.testing.assert_allclose(measured(ramp)[..., 0], 1, atol=1e-9)
    np.testing.assert_allclose(measured(ramp.swapaxes(2, 3).copy())[..., 4], 1, atol=1e-9)


@pytest.mark.parametrize(("cell", "num"), [(16, 27), (8, 108), ((16, 8), 54), (4, 432)])
def test_a_token_has_the_histograms_of_its_own_cells(cell, num: int) -> None:
    description = HOG(cell=cell)
    assert description.width(999, RGB()) == num == 3 * description.width(999, Depth())
    pixels = np.zeros((1, 3, 32, 48), np.float32)
    pixels[0, :, 18:30, 34:46] = np.random.default_rng(0).random((3, 12, 12))  # the last of six tokens
    found = features(description, RGB(size=(32, 48)), torch.from_numpy(pixels))[0]
    assert found.shape == (6, num)
    assert found.any(1).tolist() == [False] * 5 + [True]
    down, across = (cell, cell) if isinstance(cell, int) else cell
    scaled = pixels[0].astype(np.float64) / np.reshape(RGB().statistics()[1], (3, 1, 1))
    cells = reference(scaled, 9, (down, across))[:, 16 // down :, 32 // across :]
    np.testing.assert_allclose(found[5].numpy(), cells.transpose(1, 2, 0, 3).ravel(), atol=1e-4)


def test_pixels_without_a_measurement_and_absent_tokens_have_no_vote() -> None:
    description, entry = HOG(cell=4), Depth(size=(8, 12), patch=4, standardize=None)
    values = torch.from_numpy(np.random.default_rng(0).random((1, 1, 8, 12), np.float32) + 1)
    values[0, 0, 1, 5] = math.nan
    whole = features(description, entry, values)
    assert whole.isfinite().all()
    beside = values.clone()
    beside[0, 0, [0, 2, 1, 1], [5, 5, 4, 6]] = 9  # their gradients, and those of pixels beyond, still have no vote
    assert torch.equal(features(description, entry, values.nan_to_num(0))[0], whole[0])
    assert not torch.equal(features(description, entry, beside), whole)
    values[0, 0, :4, 4:8] = math.nan
    assert not features(description, entry, values)[0, 1].any()

    present = torch.tensor([[True, False, True, True, True, True]])
    one, other = values.nan_to_num(3.0), values.nan_to_num(7.0)
    found = [features(description, entry, each, present)[present] for each in (one, other)]
    assert torch.equal(*found)
    assert found[0].any()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (RGB(size=12, patch=4), r"a divisor of the patch of 4 x 4, found 8 x 8; set teacher\.cell=4$"),
        (RGB(size=32, patch=(16, 4)), r"teacher\.cell: .* patch of 16 x 4, found 8 x 8; set teacher\.cell=\[8, 4\]$"),
        (Depth(size=32, stride=4), r"patch of 4 x 4, found 8 x 8; set teacher\.cell=4$"),
        (Semantic(size=32, num_classes=3), "hog needs images, and 'semantic' is none; give features of another entry"),
        (Numbers(length=5), "hog needs images, and 'numbers' is none"),
    ],
)
def test_an_entry_that_it_cannot_be_of_is_refused(entry: Modality, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HOG().width(16, entry)
    with pytest.raises(ConfigError, match=message):
        TargetCase(HOG(), entry).teacher()


def test_cells_of_three_axes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected 1 or 2 numbers, found \[2, 2, 2\]; give height and width"):
        HOG(cell=(2, 2, 2))


def test_its_recipe_is_shown_trained_and_reported_by_the_command_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("maetoolkit.train.log._board", lambda directory, start: None)
    changes = [f"run={tmp_path / 'run'}", "data.workers=0", "data.num_train=4", "data.num_validation=2"]
    changes += ["steps=2", "batch=2", "encoder.depth=1", "optimizer.warmup_steps=1"]
    runner = CliRunner()
    shown = runner.invoke(main, ["show", "maskfeat-hog-small", *changes])
    assert shown.exit_code == 0, shown.output
    assert "predicted tokens: 26 per sample" in shown.output
    assert re.search(r"^hog +target +64  27$", shown.output, re.MULTILINE)
    done = runner.invoke(main, ["pretrain", "maskfeat-hog-small", *changes])
    assert done.exit_code == 0, done.output
    assert "failed" not in done.output
    assert (tmp_path / "run" / "report.html").is_file()


def test_importing_it_imports_no_torch() -> None:
    script = "import sys, maetoolkit_hog as h; h.HOG(); print('torch' in sys.modules, 'numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]
