"""One MAE training step (forward, backward, fused AdamW) against ViTMAE of Hugging Face and MAE of lightly.

The same batch of random images for all, per-patch standardised targets, 75 % hidden; each draws its own mask.
Run: `uv run --group bench python benchmarks/mae_step.py [--rounds N] [--size s|b] [--precision fp32|bf16]`
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from interleave import interleave, provenance, table
from torch import nn

from maetoolkit import RGB, JointDecoder, MaskedAutoencoder, ModalitySet, Share, StandardizedRGB, ViT, WeightedSum

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = {"s": (384, 12, 6, 16), "b": (768, 12, 12, 8)}  # width, depth, heads, batch


class LightlyMAE(nn.Module):
    """MAE from lightly's parts: timm backbone on kept tokens, decoder on all."""

    def __init__(self, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        from lightly.models.modules import MAEDecoderTIMM, MaskedVisionTransformerTIMM

        vit = timm.models.vision_transformer.VisionTransformer(
            embed_dim=dim, depth=depth, num_heads=heads, num_classes=0
        )
        self.backbone = MaskedVisionTransformerTIMM(vit=vit)
        self.length = self.backbone.sequence_length
        self.decoder = MAEDecoderTIMM(
            num_patches=vit.patch_embed.num_patches,
            patch_size=16,
            embed_dim=dim,
            decoder_embed_dim=512,
            decoder_depth=8,
            decoder_num_heads=16,
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        from lightly.models import utils

        kept, hidden = utils.random_token_mask(size=(len(images), self.length), mask_ratio=0.75, device=images.device)
        encoded = self.decoder.embed(self.backbone.encode(images=images, idx_keep=kept))
        tokens = utils.repeat_token(self.decoder.mask_token, (len(images), self.length))
        decoded = self.decoder.decode(utils.set_at_index(tokens, kept, encoded.type_as(tokens)))
        prediction = self.decoder.predict(utils.get_at_index(decoded, hidden))
        target = utils.get_at_index(utils.patchify(images, 16), hidden - 1)
        return nn.functional.mse_loss(prediction.float(), utils.normalize_mean_var(target, dim=-1))


def ours(dim: int, depth: int, heads: int) -> Callable[[torch.Tensor], torch.Tensor]:
    model = MaskedAutoencoder(
        ModalitySet(rgb=RGB(role="input", position_order="column_first"), target=StandardizedRGB(of="rgb")),
        ViT(dim=dim, depth=depth, heads=heads),
        JointDecoder(),
        Share(ratio=0.75),
        WeightedSum(reduction="pooled"),
    )
    return step(model, lambda images: model({"rgb": images}).loss)


def hugging_face(dim: int, depth: int, heads: int) -> Callable[[torch.Tensor], torch.Tensor]:
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    config = ViTMAEConfig(
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * dim,
        norm_pix_loss=True,
    )
    model = ViTMAEForPreTraining(config)
    return step(model, lambda images: model(pixel_values=images).loss)


def lightly(dim: int, depth: int, heads: int) -> Callable[[torch.Tensor], torch.Tensor]:
    model = LightlyMAE(dim, depth, heads)
    return step(model, model)


def step(model: nn.Module, loss_of: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    model.to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
    model.train()

    def run(images: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(images)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run


MAKERS = {"maetoolkit": ours, "transformers ViTMAE": hugging_face, "lightly MAE": lightly}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", choices=SIZES, nargs="*", default=list(SIZES))
    parser.add_argument("--precision", choices=["fp32", "bf16"], nargs="*", default=["fp32", "bf16"])
    parser.add_argument("--only", choices=MAKERS, nargs="*", default=list(MAKERS))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    parts = [f"# MAE training step\n\n{provenance('python ' + ' '.join([Path(sys.argv[0]).name, *sys.argv[1:]]))}\n"]
    for size in args.size:
        *shape, batch = SIZES[size]
        images = torch.randn(batch, 3, 224, 224, device=DEVICE)
        models = {name: MAKERS[name](*shape) for name in args.only}
        for precision in args.precision:

            def timed(run: Callable[[torch.Tensor], torch.Tensor], on: bool = precision == "bf16") -> None:
                with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=on):
                    run(images)  # noqa: B023

            calls = {name: (lambda run=run: timed(run)) for name, run in models.items()}
            seconds = interleave(calls, args.rounds)
            parts.append(f"## ViT-{size.upper()}/16, batch {batch}, {precision}\n\n{table(seconds, args.only[0])}\n")
            print(parts[-1], flush=True)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "mae_step.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
