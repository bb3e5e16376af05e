"""The encoder in timm, and timm's weights in the encoder."""

from __future__ import annotations

import pytest
import timm
import torch
from golden_files import golden, loaded_multimae
from torch.nn import functional as F

from maetoolkit.export.timm import export_timm, timm_state
from maetoolkit.export.weights import export_weights
from maetoolkit.masking import Share
from maetoolkit.modalities import RGB, Depth
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import CrossDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.model.pretrained import load_encoder


def small(rgb: RGB | None = None, **encoder) -> MaskedAutoencoder:
    return MaskedAutoencoder(
        ModalitySet(depth=Depth(size=32, patch=8), rgb=rgb or RGB(size=(32, 48), patch=8)),
        ViT(**{"dim": 24, "depth": 2, "heads": 2, **encoder}),
        CrossDecoder(dim=16, heads=2, depth=1),
        Share(),
    )


@pytest.mark.parametrize("final_norm", [True, False])
@pytest.mark.parametrize("num_global_tokens", [0, 1, 3])
@pytest.mark.parametrize("position", ["sincos", "learned"])
def test_exported_encoder_gives_the_same_features_in_timm(tmp_path, final_norm, num_global_tokens, position) -> None:
    model = small(
        RGB(size=(32, 48), patch=8, position=position), final_norm=final_norm, num_global_tokens=num_global_tokens
    )
    export_timm(model, tmp_path, "rgb")
    vit = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    images = torch.rand(2, 3, 32, 48)
    prepared = (images - torch.tensor(vit.pretrained_cfg["mean"]).view(3, 1, 1)) / torch.tensor(
        vit.pretrained_cfg["std"]
    ).view(3, 1, 1)
    features = vit.forward_features(prepared)
    encoded = model.encode({"rgb": images})
    ours = torch.cat([encoded.summary, encoded.tokens("rgb")], dim=1)
    torch.testing.assert_close(features, ours, atol=1e-5, rtol=0)


def test_exported_weights_load_strictly(tmp_path) -> None:
    from safetensors.torch import load_file

    model = small()
    folder = export_timm(model, tmp_path, "rgb")
    vit = timm.create_model(f"local-dir:{folder}", pretrained=False)
    vit.load_state_dict(load_file(folder / "model.safetensors"), strict=True)


def test_named_timm_trunk_is_exported_under_its_own_name(tmp_path) -> None:
    model = MaskedAutoencoder(
        ModalitySet(rgb=RGB()), ViT(name="vit_tiny_patch16_224"), CrossDecoder(dim=16, heads=2), Share()
    )
    vit = timm.create_model(f"local-dir:{export_timm(model, tmp_path)}", pretrained=True)
    images = torch.rand(1, 3, 224, 224)
    mean, std = (torch.tensor(s).view(3, 1, 1) for s in model.modalities["rgb"].statistics())
    torch.testing.assert_close(
        vit.forward_features((images - mean) / std)[:, 1:],
        model.encode({"rgb": images}).tokens("rgb"),
        atol=1e-5,
        rtol=0,
    )


def test_equal_weights_give_equal_files(tmp_path) -> None:
    model = small()
    first, second = export_weights(model, tmp_path / "a.safetensors"), export_weights(model, tmp_path / "b.safetensors")
    assert first.read_bytes() == second.read_bytes()


def test_weights_that_are_not_finite_are_refused(tmp_path) -> None:
    model = small()
    model.encoder.global_tokens.data.fill_(torch.nan)
    for export in (export_timm, export_weights):
        with pytest.raises(ValueError, match="NaN"):
            export(model, tmp_path / "out")


def test_an_entry_that_is_no_image_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"depth, rgb.*found 'sound'"):
        export_timm(small(), tmp_path, "sound")


def test_conversion_to_a_vit_matches_the_published_one() -> None:
    case = golden("multimae2vit")
    model = loaded_multimae(golden("multimae_weights").config)
    expected, found = case.part("vit."), timm_state(model, "rgb")
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_features_match_the_published_ones() -> None:
    case = golden("multimae2vit")
    encoded = loaded_multimae(golden("multimae_weights").config).encode({"rgb": case.tensors["image"]})
    tokens = torch.cat([encoded.tokens("rgb"), encoded.summary], dim=1)
    torch.testing.assert_close(tokens, case.tensors["multivit_tokens"], atol=5e-5, rtol=0)
    normed = F.layer_norm(torch.cat([encoded.summary, encoded.tokens("rgb")], dim=1), tokens.shape[-1:], eps=1e-6)
    torch.testing.assert_close(normed, case.tensors["vit_forward_features"], atol=1e-5, rtol=0)
    pooled = {"linear_mean.": encoded.mean(), "linear_global.": encoded.summary[:, 0]}
    for head, features in pooled.items():
        w = case.part(head)
        features = F.layer_norm(features, features.shape[-1:], w["norm.weight"], w["norm.bias"], eps=1e-6)
        torch.testing.assert_close(F.linear(features, w["head.weight"], w["head.bias"]), w["logits"], atol=1e-5, rtol=0)


def test_features_of_all_modalities_without_masking_match() -> None:
    case = golden("multimae2vit").part("multivit3.")
    model = loaded_multimae(golden("multimae_weights").config)
    encoded = model.encode({k.removeprefix("input."): v for k, v in case.items() if k.startswith("input.")})
    tokens = torch.cat([*(encoded.tokens(name) for name in model.modalities.inputs), encoded.summary], dim=1)
    torch.testing.assert_close(tokens, case["tokens"], atol=5e-5, rtol=0)


def test_a_vit_initialises_the_encoder_as_published() -> None:
    case = golden("multimae2vit")
    model = loaded_multimae(golden("multimae_weights").config)
    names = {"cls_token": "back.vit_cls_token", "pos_embed": "back.vit_pos_embed"}
    state = case.part("vit.") | {ours: case.tensors[theirs] for ours, theirs in names.items()}
    loaded = load_encoder(model, state)
    assert torch.equal(model.encoder.global_tokens, case.tensors["back.global_tokens"])
    assert "tokenizers.rgb" in loaded
    assert "tokenizers.depth" not in loaded


def test_initialising_from_a_file_copies_what_fits(tmp_path) -> None:
    source = small()
    export_timm(source, tmp_path, "rgb")
    target = small(init=str(tmp_path / "model.safetensors"))
    for name, value in source.encoder.state_dict().items():
        assert torch.equal(target.encoder.state_dict()[name], value), name
    assert torch.equal(target.tokenizers["rgb"].proj.weight, source.tokenizers["rgb"].proj.weight)


def test_initialising_from_another_size_is_refused(tmp_path) -> None:
    export_timm(small(), tmp_path, "rgb")
    with pytest.raises(ValueError, match=r"encoder.init.*expected blocks.0"):
        small(dim=32, init=str(tmp_path / "model.safetensors"))
    with pytest.raises(ValueError, match=r"neither a \.safetensors file nor a timm model"):
        small(init="vit_enormous")
