"""What predicts how hard patches are, and the sampler that hides them. Axes: B samples, N tokens, D width."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from maetoolkit.masking import Layout, MaskPlan, MaskSampler, complete
from maetoolkit.masking.ratio import keep_smallest
from maetoolkit.modality import ModalitySet
from maetoolkit.model.positions import positions_of
from maetoolkit.randomness import Draw
from maetoolkit.tokens import Patches
from maetoolkit_samplers.hard_patches import HardPatches


class HardPatchSampler(nn.Module, MaskSampler):
    """Hides first the tokens that are predicted to be hardest, as many as the run has come to, then random ones."""

    needs_content = learns = True
    settings: HardPatches

    def __init__(self, settings: HardPatches, modalities: ModalitySet) -> None:
        super().__init__()
        self.settings, self.sources = settings, modalities.sources
        predicted = [name for name in modalities.inputs if name in self.sources.values()]
        self.predictor = Hardness(settings, modalities, predicted)
        self.average = copy.deepcopy(self.predictor).requires_grad_(False)

    def forward(  # noqa: D102
        self,
        layout: Layout,
        draw: Draw,
        progress: float = 0.0,
        patches: Mapping[str, Patches] | None = None,
        scores: Mapping[str, Tensor] | None = None,
    ) -> MaskPlan:
        settings, visible = self.settings, {}
        share = settings.start + (settings.end - settings.start) * min(max(progress, 0.0), 1.0)
        for name in layout.inputs:
            present = layout.present[name]
            num_shown = settings.num_shown(name, present.sum(1))
            num_hard = [math.floor(share * num + 1e-9) for num in present.sum(1) - num_shown]
            hard = np.zeros_like(present)
            if any(num_hard) and name in self.average.tokenizers:
                if patches is None:
                    raise ValueError("hard_patches looks at the content of a batch; call it with patches=...")
                with torch.no_grad():
                    found = self.average(name, patches[name]).double().cpu().numpy()
                hard = keep_smallest(-found, present, num_hard)
            visible[name] = keep_smallest(draw.uniform(f"mask {name}", present.shape[1]), present & ~hard, num_shown)
        return complete(layout, visible, settings.score, settings.in_place)

    def observe(  # noqa: D102
        self, patches: Mapping[str, Patches], plan: MaskPlan, token_loss: Mapping[str, Tensor]
    ) -> Tensor | None:
        losses = []
        for name in self.predictor.tokenizers:
            outputs = [output for output, source in self.sources.items() if source == name and output in token_loss]
            predicted = self.predictor(name, patches[name]).float()
            true = torch.stack([token_loss[output] for output in outputs]).float().mean(0)
            scored = torch.stack([plan.target[output].to(true.device) for output in outputs]).any(0)
            losses.append(ranking_loss(predicted, true, scored & patches[name].present))
        return self.settings.weight * torch.stack(losses).mean() if losses else None

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the average towards the weights of now."""
        for slow, fast in zip(self.average.parameters(), self.predictor.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.settings.momentum)


def ranking_loss(
    predicted: Float[Tensor, "B N"], true: Float[Tensor, "B N"], scored: Bool[Tensor, "B N"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy of which of two scored tokens has the larger loss (HPM, eq. 5): of each sample the mean over
    its own pairs, and of those the mean over all samples, so that the parts of a batch count as they do in the whole.

    A sample with fewer than two different losses counts as zero, with a gradient.
    """
    larger = true[:, :, None] > true[:, None, :]
    pairs = larger & scored[:, :, None] & scored[:, None, :]
    margin = predicted[:, :, None] - predicted[:, None, :]
    total = F.softplus(-margin).where(pairs, 0.0).sum((1, 2))
    return (total / pairs.sum((1, 2)).clamp(min=1)).mean() + 0.0 * predicted.sum()


class Hardness(nn.Module):
    """A score for every patch of an entry, from the contents and places of all of them; higher is harder.

    It runs in full precision: of scores that are rounded to be equal, the first tokens of a picture would be hidden.
    """

    def __init__(self, settings: HardPatches, modalities: ModalitySet, names: list[str]) -> None:
        super().__init__()
        dim = settings.dim
        self.tokenizers = nn.ModuleDict({name: modalities[name].build_tokenizer(dim) for name in names})
        self.positions = nn.ModuleDict({name: modalities[name].build_position(dim, "encoder") for name in names})
        self.blocks = nn.ModuleList([Block(dim, settings.heads) for _ in range(settings.depth)])
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 1)

    def forward(self, name: str, patches: Patches) -> Float[Tensor, "B N"]:  # noqa: D102
        with torch.autocast(patches.values.device.type, enabled=False):
            return self._scores(name, patches)

    def _scores(self, name: str, patches: Patches) -> Tensor:
        values, present = patches.values, patches.present
        blank = torch.zeros((), dtype=values.dtype, device=values.device)
        values = values.where(present.view(*present.shape, *[1] * (values.ndim - 2)), blank)
        every = torch.arange(present.numel(), device=values.device)
        tokens = self.tokenizers[name](values.flatten(0, 1)) + positions_of(self.positions[name], patches, every)
        x = rearrange(tokens, "(b n) d -> b n d", b=len(present))
        there = present | ~present.any(1, keepdim=True)  # attention over nothing is not a number
        for block in self.blocks:
            x = block(x, there)
        return self.head(self.norm(x)).squeeze(-1)


class Block(nn.Module):
    """A pre-norm transformer block over the tokens that are there."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Float[Tensor, "B N D"], there: Bool[Tensor, "B N"]) -> Float[Tensor, "B N D"]:  # noqa: D102
        q, k, v = rearrange(self.qkv(self.norm1(x)), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=there[:, None, None, :])
        x = x + self.proj(rearrange(mixed, "b h n d -> b n (h d)"))
        return x + self.mlp(self.norm2(x))
