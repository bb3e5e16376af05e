"""The law of what people are shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from maetoolkit.modality import Marks
from maetoolkit.testing.case import SUBJECT, ModalityCase
from maetoolkit.testing.law import Inapplicable, LawError, law, require


@law(
    "picture",
    why="Reports put truth and prediction side by side; they cannot where sizes or types differ, and a picture that "
    "writes into the truth falsifies what is drawn after it.",
    see="patches = case.patches()\ncase.data.picture(patches.values[0], patches.grid)",
)
def picture(case: ModalityCase) -> None:
    """The picture of a truth and of any prediction is uint8 (H, W, 3) of one size, and drawing changes nothing."""
    patches = case.patches()
    truth, present, places = patches.values[0], patches.present[0], patches.positions[0]
    before = truth.clone()
    confidence: Tensor | None = None
    shown = {"the truth": truth, "nothing but zeros": torch.zeros_like(truth)}
    if SUBJECT in case.modalities.reconstructed:
        output = case.model().reconstruct(case.batch(case.fields()))
        shown["a prediction"] = output.predicted[SUBJECT][0]
        confidence = output.confidence[SUBJECT][0] if SUBJECT in output.confidence else None
    hidden = present & torch.as_tensor(case.random("hidden").random(len(present)) < 0.5)
    nobody = torch.zeros_like(hidden)

    def draw(values: Tensor, what: str, way: str) -> np.ndarray | None:
        reference = None if what == "the truth" else truth
        if way == "picture":
            return case.data.picture(values, patches.grid, reference)
        predicted = what == "a prediction"
        marks = Marks(present, nobody if predicted else hidden, hidden if predicted else nobody, positions=places)
        marks = replace(marks, confidence=confidence) if predicted else marks
        return case.data.draw(values, patches.grid, marks, reference)

    ways = ("picture", "draw")
    drawn = {(way, what): draw(values, what, way) for way in ways for what, values in shown.items()}
    for way in ways:
        images = {what: image for (of, what), image in drawn.items() if of == way}
        if any(image is not None for image in images.values()):
            _is_a_picture(way, images)
    require(torch.equal(truth, before), "drawing changes the values it is given")
    _legend_is_readable(case)
    if all(image is None for image in drawn.values()):
        raise Inapplicable("the modality draws no pictures")


def _is_a_picture(way: str, images: dict[str, np.ndarray | None]) -> None:
    size = None
    for what, image in images.items():
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
            looks = f"of shape {image.shape}" if isinstance(image, np.ndarray) else repr(image)
            raise LawError(f"the `{way}` of {what} is {looks}, not (H, W, 3)")
        require(image.dtype == np.uint8, f"the `{way}` of {what} is {image.dtype}, not uint8")
        size = size or image.shape[:2]
        require(image.shape[:2] == size, f"the `{way}` of {what} has size {image.shape[:2]}, that of the truth {size}")


def _legend_is_readable(case: ModalityCase) -> None:
    for name, colour in case.modality.legend():
        plain = len(colour) == 3 and all(isinstance(c, int) and 0 <= c <= 255 for c in colour)
        require(isinstance(name, str) and plain, f"legend entry {(name, colour)} is not a name and three bytes")
