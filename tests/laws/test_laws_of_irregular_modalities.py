"""The kit works for any modality: ragged entries, real positions, integer tokens, no grid, no frame."""

from __future__ import annotations

import numpy as np
import pytest
from irregular import Groups, Spectra, cloud, spectrum

from maetoolkit.modalities.image import RGB
from maetoolkit.modality import Geometry, Modality
from maetoolkit.testing import MODALITY_LAWS, Law, LawError, ModalityCase, check_modality
from maetoolkit.testing.sequence import Numbers, numbers

CASES = {
    "ragged integers": ModalityCase(Numbers(), examples=numbers),
    "ragged integers, an input only": ModalityCase(Numbers(role="input"), examples=numbers),
    "ragged integers, an output only": ModalityCase(Numbers(role="target"), examples=numbers),
    "point groups": ModalityCase(Groups(), examples=cloud),
    "spectra of any length": ModalityCase(Spectra(), examples=spectrum),
}
LAWS = {law.name: law for law in MODALITY_LAWS}
FRAMELESS = {"equivariance", "picture"}


@pytest.mark.parametrize("law", MODALITY_LAWS, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_irregular_kinds_of_data_keep(law: Law[ModalityCase], name: str) -> None:
    skipped = FRAMELESS | ({"optimum"} if "input only" in name else set())
    assert law(CASES[name]).held is (None if law.name in skipped else True)


class Film(RGB):
    """Values (frames, H, W, 3) that share the sample's frame."""

    num_axes = 3

    def frame(self, value: np.ndarray) -> tuple[int, int]:
        return value.shape[1], value.shape[2]

    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        from maetoolkit.modalities.resample import crop_resize

        frames = [crop_resize(frame, geometry, self.size[1:], "bilinear") for frame in value[: self.size[0]]]
        return np.ascontiguousarray(np.moveaxis(np.stack(frames), 3, 0))


class UnflippedFilm(Film):
    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        return super().transform(value, Geometry(geometry.top, geometry.left, geometry.height, geometry.width))


def film(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return draw.integers(256, size=(3, *shape, 3), dtype=np.uint8)


def test_crops_and_flips_are_tried_on_whatever_has_a_frame() -> None:
    settings = {"size": (2, 8, 8), "patch": (1, 4, 4)}
    assert LAWS["equivariance"](ModalityCase(Film(**settings), examples=film)).held
    with pytest.raises(LawError, match="after a flip"):
        LAWS["equivariance"](ModalityCase(UnflippedFilm(**settings), examples=film))


@pytest.mark.parametrize("modality", [Numbers(), Film(size=(2, 8, 8), patch=(1, 4, 4))], ids=["ragged", "film"])
def test_values_that_cannot_be_made_up_are_asked_for(modality: Modality) -> None:
    with pytest.raises(LawError, match=r"give examples=f, where f\(generator, shape\) returns one raw value"):
        LAWS["alignment"](ModalityCase(modality))


def test_groups_that_overlap_are_declared() -> None:
    with pytest.raises(LawError, match="part of 2 patches"):
        LAWS["no leak"](ModalityCase(Groups(overlap=True), examples=cloud))
    expected = {"no leak": "groups overlap, as in Point-MAE"}
    verdicts = check_modality(Groups(overlap=True), examples=cloud, expected=expected)
    assert "no leak: fails as declared (groups overlap, as in Point-MAE)" in map(str, verdicts)
