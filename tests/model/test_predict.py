"""Predicting what was not given."""

from __future__ import annotations

import torch

from maetoolkit import RGB, CrossDecoder, Depth, MaskedAutoencoder, ModalitySet, Share, StandardizedRGB, ViT

MODEL = MaskedAutoencoder(
    ModalitySet(rgb=RGB(size=16, patch=4), depth=Depth(size=(8, 12), patch=4), rgb_std=StandardizedRGB(of="rgb")),
    ViT(dim=16, depth=1, heads=2),
    CrossDecoder(dim=16, depth=1, heads=2),
    Share(),
)


def test_a_field_that_is_not_given_is_predicted_whole() -> None:
    predicted = MODEL.predict({"rgb": torch.rand(3, 3, 16, 16)})
    assert {name: tuple(values.shape) for name, values in predicted.items()} == {"depth": (3, 1, 8, 12)}
    assert bool(predicted["depth"].abs().flatten(1).gt(0).any(1).all())


def test_what_is_predicted_does_not_depend_on_the_other_samples() -> None:
    images = torch.rand(3, 3, 16, 16)
    together, alone = MODEL.predict({"rgb": images}), MODEL.predict({"rgb": images[1:2]})
    torch.testing.assert_close(together["depth"][1:2], alone["depth"], atol=1e-6, rtol=0)


def test_nothing_is_predicted_of_what_is_given() -> None:
    assert MODEL.predict({"rgb": torch.rand(2, 3, 16, 16), "depth": torch.rand(2, 1, 8, 12)}) == {}
