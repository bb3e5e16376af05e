"""Every built-in decoder keeps every law; every built-in target does too."""

from __future__ import annotations

import pytest
from seeded_decoders import Careless
from seeded_targets import Projection

from maetoolkit.masking import Share
from maetoolkit.modalities.features import Features
from maetoolkit.modalities.image import RGB
from maetoolkit.model.decoder import CrossDecoder, DecoderDescription, JointDecoder, LinearDecoder
from maetoolkit.model.target import Ema, TargetDescription, TimmFeatures
from maetoolkit.plugins import registry
from maetoolkit.testing import DECODER_LAWS, DecoderCase, Law, ModalityCase, check_decoder, check_modality, check_target

SMALL = {"dim": 24, "depth": 1, "heads": 2}
DECODERS: dict[str, DecoderDescription] = {
    "cross": CrossDecoder(**SMALL),
    "cross, two blocks, tanh": CrossDecoder(dim=48, depth=2, heads=4, activation="gelu_tanh"),
    "joint": JointDecoder(**SMALL),
    "joint, one mask token each": JointDecoder(**SMALL, mask_token="per_modality", modality_embedding=False),
    "linear": LinearDecoder(),
    "a plugin's": Careless(),
}
TARGETS: dict[str, TargetDescription] = {
    "average": Ema(),
    "average of two layers": Ema(layers=2, momentum=0.5),
    "timm": TimmFeatures(name="test_vit", pretrained=False),
    "a plugin's": Projection(),
}


@pytest.mark.parametrize("law", DECODER_LAWS, ids=str)
@pytest.mark.parametrize("name", DECODERS)
def test_every_decoder_keeps(law: Law[DecoderCase], name: str) -> None:
    assert law(DecoderCase(DECODERS[name])).held is True


@pytest.mark.parametrize("name", ["cross", "joint"])
def test_decoders_keep_all_laws_with_mask_tokens_in_the_encoder(name: str) -> None:
    assert all(
        verdict.held for verdict in check_decoder(DECODERS[name], masking=Share(ratio=0.5, in_place=True), seed=1)
    )


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_keeps_all_laws(name: str) -> None:
    assert all(verdict.held for verdict in check_target(TARGETS[name]))


def test_outputs_that_are_taught_keep_all_laws() -> None:
    features = Features(of="rgb", teacher=Ema(), standardize=True)
    skipped = [v.law for v in check_modality(features, source=RGB(size=(16,), patch=(8,))) if not v.held]
    assert not skipped


def test_no_builtin_is_forgotten() -> None:
    offers = next(plugin for plugin in registry().plugins if plugin.name == "builtin").offers
    assert set(offers["decoders"].values()) <= {type(decoder) for decoder in DECODERS.values()}
    assert set(offers["targets"].values()) <= {type(target) for target in TARGETS.values()}


def test_a_decoder_that_fits_nothing_says_why() -> None:
    with pytest.raises(ValueError, match=r"could be tried in: .*set masking\.in_place=true"):
        DecoderCase(LinearDecoder(), masking=Share()).modalities  # noqa: B018


def test_cases_are_made_for_taught_outputs() -> None:
    case = ModalityCase(Features(of="rgb", teacher=Ema()), source=RGB(size=(16,), patch=(8,)))
    assert case.batch(case.fields()).targets["subject"].shape == (3, 4, 24)
