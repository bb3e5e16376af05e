"""Trunks by timm name: what is accepted is what timm has, and goes back to timm unchanged; the rest is refused."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import load_file

from maetoolkit.errors import ConfigError
from maetoolkit.export.timm import export_timm
from maetoolkit.masking import Share
from maetoolkit.modalities import RGB, Depth
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import CrossDecoder
from maetoolkit.model.encoder import ViT

OTHER_BLOCKS = {
    "vit_small_patch16_18x2_224": "ParallelThingsBlock",
    "vit_pwee_patch16_reg1_gap_256": "ParallelScalingBlock",
    "vit_base_patch16_rpn_224": "ResPostBlock",
    "vit_dwee_patch16_reg1_gap_256": "DiffAttention",
    "vit_tiny_r_s16_p8_224": "HybridEmbed",
    "aimv2_large_patch14_224": "RmsNorm",
    "deit_tiny_distilled_patch16_224": "VisionTransformerDistilled",
}
PLAIN = [
    ("vit_tiny_patch16_224", 16, 1),
    ("vit_tiny_patch16_224", 16, 0),
    ("vit_wee_patch16_reg1_gap_256", 16, 1),
    ("vit_small_patch14_reg4_dinov2", 14, 5),
    ("vit_xsmall_patch16_clip_224", 16, 1),
    ("test_vit", 16, 2),
    ("test_vit2", 16, 1),
    ("test_vit3", 16, 1),
    ("test_vit4", 16, 3),
]


def named(name: str, patch: int, num_global_tokens: int, final_norm: bool = True) -> MaskedAutoencoder:
    torch.manual_seed(0)
    encoder = ViT(name=name, num_global_tokens=num_global_tokens, final_norm=final_norm)
    model = MaskedAutoencoder(
        ModalitySet(rgb=RGB(size=(2 * patch, 8 * patch), patch=patch)), encoder, CrossDecoder(dim=16, heads=2), Share()
    )
    for parameter in model.encoder.parameters():  # layer scales of 1e-5 would hide every difference
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


@pytest.mark.parametrize("name", OTHER_BLOCKS)
def test_models_with_other_parts_are_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"encoder\.name: {name!r}.*{OTHER_BLOCKS[name]}.*use a vit_\* model"):
        ViT(name=name).build()


@pytest.mark.parametrize("final_norm", [True, False])
@pytest.mark.parametrize(("name", "patch", "num_global_tokens"), PLAIN)
def test_named_trunks_load_strictly_in_timm_with_the_same_features(
    tmp_path, name: str, patch: int, num_global_tokens: int, final_norm: bool
) -> None:
    model = named(name, patch, num_global_tokens, final_norm)
    folder = export_timm(model, tmp_path)
    vit = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    state = load_file(folder / "model.safetensors")
    timm.create_model(f"local-dir:{folder}", pretrained=False).load_state_dict(state, strict=True)
    images = torch.rand(1, 3, 2 * patch, 8 * patch)
    mean, std = (torch.tensor(s).view(3, 1, 1) for s in model.modalities["rgb"].statistics())
    encoded = model.encode({"rgb": images})
    ours = torch.cat([encoded.summary, encoded.tokens("rgb")], dim=1)
    features = vit.forward_features((images - mean) / std)
    torch.testing.assert_close(features / ours.abs().max(), ours / ours.abs().max(), atol=1e-5, rtol=0)


def test_final_norm_is_of_the_named_models_kind() -> None:
    assert type(ViT(name="test_vit4").build().norm) is type(timm.create_model("test_vit4").fc_norm)


def test_a_hidden_width_that_no_ratio_gives_exactly_is_exported(tmp_path) -> None:
    model = MaskedAutoencoder(
        ModalitySet(depth=Depth(size=16, patch=8)),
        ViT(dim=44, depth=1, heads=2, mlp_ratio=98.5 / 44),
        CrossDecoder(dim=16, heads=2),
        Share(),
    )
    folder = export_timm(model, tmp_path)
    vit = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    depth = torch.rand(1, 1, 16, 16)
    fields = {"depth": depth}
    prepared = model.cut(fields).patches["depth"].values
    whole = model.modalities["depth"].unpatchify(prepared, (2, 2))
    torch.testing.assert_close(
        vit.forward_features(whole)[:, 1:], model.encode(fields).tokens("depth"), atol=1e-5, rtol=0
    )
