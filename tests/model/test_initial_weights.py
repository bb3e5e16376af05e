"""What `encoder.init` loads is what the file holds; what it cannot load it names."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from maetoolkit.errors import ConfigError
from maetoolkit.export.timm import export_timm, timm_state
from maetoolkit.export.weights import export_weights
from maetoolkit.masking import Share
from maetoolkit.modalities import RGB, Depth
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import CrossDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.model.pretrained import load_encoder


def small(size: tuple[int, int] = (32, 48), position: str = "learned", **encoder) -> MaskedAutoencoder:
    return MaskedAutoencoder(
        ModalitySet(depth=Depth(size=32, patch=8), rgb=RGB(size=size, patch=8, position=position)),
        ViT(**{"dim": 24, "depth": 2, "heads": 2, **encoder}),
        CrossDecoder(dim=16, heads=2, depth=1),
        Share(),
    )


def assert_same_inputs(target: MaskedAutoencoder, source: MaskedAutoencoder) -> None:
    for part in ("encoder", "tokenizers.rgb", "positions.rgb"):
        found = target.get_submodule(part).state_dict()
        for name, value in source.get_submodule(part).state_dict().items():
            assert torch.equal(found[name], value), f"{part}.{name}"


@pytest.mark.parametrize("num_global_tokens", [0, 1, 3])
@pytest.mark.parametrize("size", [(32, 48), (16, 64), (32, 32)])
def test_a_timm_export_comes_back_unchanged(tmp_path: Path, size: tuple[int, int], num_global_tokens: int) -> None:
    source = small(size, num_global_tokens=num_global_tokens)
    file = export_timm(source, tmp_path, "rgb") / "model.safetensors"
    assert_same_inputs(small(size, num_global_tokens=num_global_tokens, init=str(file)), source)


def test_an_export_of_all_weights_comes_back_unchanged(tmp_path: Path) -> None:
    source = small(num_global_tokens=2)
    target = small(num_global_tokens=2, init=str(export_weights(source, tmp_path / "all.safetensors")))
    assert_same_inputs(target, source)
    assert torch.equal(target.tokenizers["depth"].proj.weight, source.tokenizers["depth"].proj.weight)
    assert not torch.equal(target.heads["rgb"].proj.weight, source.heads["rgb"].proj.weight)


@pytest.mark.parametrize("rows", ["with", "without"])
def test_positions_of_prefix_tokens_go_into_the_tokens(rows: str) -> None:
    source, target = small(num_global_tokens=3), small(num_global_tokens=3)
    state, prefix = timm_state(source, "rgb"), torch.randn(1, 3, 24)
    cells = state["pos_embed"][:, 3:]
    state["pos_embed"] = torch.cat([prefix, cells], 1) if rows == "with" else cells
    load_encoder(target, state)
    expected = source.encoder.global_tokens + (prefix if rows == "with" else 0)
    torch.testing.assert_close(target.encoder.global_tokens, expected, rtol=0, atol=0)
    assert torch.equal(target.positions["rgb"].table, source.positions["rgb"].table)


def test_a_square_grid_is_resized_to_the_models_own() -> None:
    source, target = small((40, 40)), small((32, 48))
    load_encoder(target, timm_state(source, "rgb"))
    expected = torch.nn.functional.interpolate(
        source.positions["rgb"].table.T.reshape(1, 24, 5, 5), size=(4, 6), mode="bicubic", align_corners=False
    )
    torch.testing.assert_close(target.positions["rgb"].table, expected.flatten(2)[0].T)


def test_a_grid_that_is_neither_the_models_nor_square_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"encoder\.init.*pos_embed has 13 rows.*4x6.*square"):
        load_encoder(small((32, 48)), timm_state(small((16, 48)), "rgb"))


def test_another_number_of_global_tokens_is_refused_with_a_remedy() -> None:
    with pytest.raises(ConfigError, match=r"expected 3 global tokens, found 1.*num_global_tokens=1"):
        load_encoder(small(num_global_tokens=3), timm_state(small(), "rgb"))


@pytest.mark.parametrize(
    ("name", "shape"), [("blocks.2.norm1.weight", (24,)), ("blocks.0.ls1.gamma", (24,)), ("norm_pre.weight", (24,))]
)
def test_a_deeper_or_richer_encoder_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=rf"does not fit this encoder.*{name}"):
        load_encoder(small(), timm_state(small(), "rgb") | {name: torch.ones(shape)})


def test_a_projection_without_bias_gets_none() -> None:
    state = timm_state(small(), "rgb")
    del state["patch_embed.proj.bias"]
    target = small()
    load_encoder(target, state)
    assert not target.tokenizers["rgb"].proj.bias.any()


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "garbage.safetensors"
    file.write_bytes(b"no weights at all, and more than eight bytes")
    with pytest.raises(ConfigError, match=r"encoder\.init.*garbage\.safetensors.*safetensors"):
        small(init=str(file))


def test_what_was_loaded_and_what_was_not_is_logged_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "encoder.safetensors"
    save_file({k: v.contiguous() for k, v in timm_state(small(), "rgb").items()}, file)
    with caplog.at_level(logging.INFO, logger="maetoolkit"):
        small(final_norm=False, num_global_tokens=0, position="sincos", init=str(file))
    (record,) = caplog.records
    message = record.getMessage()
    assert record.name == "maetoolkit"
    assert "\n" not in message
    loaded, left = message.split("; not loaded: ")
    assert str(file) in loaded
    assert "2 blocks" in loaded
    assert "tokenizers.rgb" in loaded
    for part in ("1 global token", "norm", "positions.rgb", "tokenizers.depth"):
        assert part in left, part


def test_published_multimae_positions_keep_their_own_grid() -> None:
    target, table = small((32, 48)), torch.randn(1, 24, 2, 8)
    weight = torch.randn(24, 3, 8, 8)
    blocks = {
        name.replace("blocks.", "encoder."): value
        for name, value in target.encoder.state_dict().items()
        if name.startswith("blocks.")
    }
    adapter = {"proj.weight": weight, "proj.bias": torch.ones(24), "pos_emb": table}
    load_encoder(target, blocks | {f"input_adapters.rgb.{name}": value for name, value in adapter.items()})
    expected = torch.nn.functional.interpolate(table, size=(4, 6), mode="bicubic", align_corners=False)
    torch.testing.assert_close(target.positions["rgb"].table, expected.flatten(2)[0].T)
    assert torch.equal(target.tokenizers["rgb"].proj.weight, weight.flatten(1))


@pytest.mark.parametrize("name", ["test_vit", "vit_xsmall_patch16_clip_224"])
def test_a_named_model_starts_from_timms_own_weights_with_timms_features(name: str) -> None:
    import timm

    torch.manual_seed(0)
    vit = timm.create_model(name, pretrained=False, num_classes=0, img_size=64).eval()
    rgb = RGB(size=64, patch=16, position="learned")
    model = MaskedAutoencoder(ModalitySet(rgb=rgb), ViT(name=name), CrossDecoder(dim=16, heads=2), Share()).eval()
    load_encoder(model, vit.state_dict())
    images = torch.rand(1, 3, 64, 64)
    mean, std = (torch.tensor(s).view(3, 1, 1) for s in rgb.statistics())
    encoded = model.encode({"rgb": images})
    ours = torch.cat([encoded.summary, encoded.tokens("rgb")], dim=1)
    torch.testing.assert_close(vit.forward_features((images - mean) / std), ours, atol=1e-5, rtol=0)
