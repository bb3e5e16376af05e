"""Mixed precision: where it applies and where it is kept out."""

from __future__ import annotations

import pytest
import torch

from maetoolkit import RGB, CrossDecoder, Depth, JointDecoder, MaskedAutoencoder, ModalitySet, Share, ViT

IMAGES = {"rgb": torch.rand(2, 3, 16, 16), "depth": torch.rand(2, 1, 16, 16)}


def model(decoder: CrossDecoder | JointDecoder) -> MaskedAutoencoder:
    entries = ModalitySet(rgb=RGB(size=16, patch=4), depth=Depth(size=16, patch=4))
    return MaskedAutoencoder(entries, ViT(dim=16, depth=1, heads=2), decoder, Share())


def dtypes_of_products(module: torch.nn.Module, run: MaskedAutoencoder) -> set[torch.dtype]:
    seen = set()
    hooks = [
        part.register_forward_hook(lambda _module, _given, out: seen.add(out.dtype))
        for part in module.modules()
        if isinstance(part, torch.nn.Linear)
    ]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = run(IMAGES).loss
    for hook in hooks:
        hook.remove()
    assert loss.dtype == torch.float32
    return seen


@pytest.mark.parametrize("decoder", [CrossDecoder(dim=16, heads=2), JointDecoder(dim=16, depth=1, heads=2)])
def test_encoder_and_decoders_run_in_half_precision_under_autocast(decoder) -> None:  # type: ignore[no-untyped-def]
    run = model(decoder)
    assert dtypes_of_products(run.encoder, run) == {torch.bfloat16}
    assert dtypes_of_products(run.decoder, run) == {torch.bfloat16}


def test_a_decoder_named_fp32_stays_in_full_precision() -> None:
    run = model(CrossDecoder(dim=16, heads=2, fp32=("depth",)))
    assert dtypes_of_products(run.decoder.outputs["depth"], run) == {torch.float32}
    assert dtypes_of_products(run.decoder.outputs["rgb"], run) == {torch.bfloat16}
    assert dtypes_of_products(run.heads["depth"], run) == {torch.float32}
    assert dtypes_of_products(run.heads["rgb"], run) == {torch.bfloat16}
