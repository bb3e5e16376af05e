"""Tiny models and batches of three modalities of different resolution, and a standardised output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import Masking, complete
from maetoolkit.masking.share import Share
from maetoolkit.modalities.image import RGB, Depth, StandardizedRGB
from maetoolkit.modalities.semantic import Semantic
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import CrossDecoder, DecoderDescription, JointDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.model.objective import ObjectiveDescription, WeightedSum
from maetoolkit.model.outputs import Output
from maetoolkit.randomness import Draw, generator
from maetoolkit.tokens import Batch, Field

DECODERS: dict[str, DecoderDescription] = {
    "cross": CrossDecoder(dim=16, depth=1, heads=2),
    "joint": JointDecoder(dim=16, depth=1, heads=2),
}
FIELDS = ("rgb", "depth", "semantic")


def modality_set() -> ModalitySet:
    return ModalitySet(
        rgb=RGB(size=(16, 24), patch=8),
        rgb_std=StandardizedRGB(of="rgb"),
        depth=Depth(size=(8, 12), patch=4, invalid=0.0),
        semantic=Semantic(size=(16, 24), patch=8, stride=4, num_classes=5, class_dim=4),
    )


def model(
    decoder: str = "cross",
    objective: ObjectiveDescription | None = None,
    masking: Masking | None = None,
    seed: int = 0,
    entries: ModalitySet | None = None,
    **encoder: object,
) -> MaskedAutoencoder:
    vit = ViT.model_validate({"dim": 16, "depth": 2, "heads": 2, "mlp_ratio": 2, **encoder})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = MaskedAutoencoder(
            entries or modality_set(),
            vit,
            DECODERS[decoder],
            masking or Share(ratio=0.5),
            objective or WeightedSum(),
            seed=seed,
        )
        for name, parameter in built.named_parameters():  # nothing is left at zero, so that nothing hides
            if "mask_token" in name or name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.1)
    return built


def fields(present: Mapping[str, Sequence[bool]], seed: int = 0) -> dict[str, Field]:
    """Random values, one stream per sample and entry, with holes in depth and void labels."""
    made = {}
    for name, flags in present.items():
        values = torch.stack([_values(name, seed, i) for i in range(len(flags))])
        made[name] = Field(values, torch.tensor(list(flags), dtype=torch.bool))
    return made


def _values(name: str, seed: int, sample: int) -> Tensor:
    draw = generator("small models", name, seed, sample)
    if name == "rgb":
        return torch.from_numpy(draw.random((3, 16, 24), np.float32))
    if name == "depth":
        return torch.from_numpy((draw.random((1, 8, 12)) * (draw.random((1, 8, 12)) > 0.2)).astype(np.float32))
    return torch.from_numpy(np.where(draw.random((4, 6)) < 0.2, 255, draw.integers(5, size=(4, 6))))


def all_present(num_samples: int, seed: int = 0) -> dict[str, Field]:
    return fields({name: [True] * num_samples for name in FIELDS}, seed)


def batch(given: Mapping[str, Field], keys: Sequence[str] | None = None, plan: MaskPlan | None = None) -> Batch:
    keys = tuple(keys or (f"sample {i}" for i in range(len(next(iter(given.values()))))))
    return Batch(given, keys, Draw.of(7, keys), plan)


def rows(given: Mapping[str, Field], samples: Sequence[int]) -> dict[str, Field]:
    index = list(samples)
    return {n: Field(f.values[index], f.present[index]) for n, f in given.items()}


def plan_rows(plan: MaskPlan, samples: Sequence[int]) -> MaskPlan:
    index = list(samples)
    return MaskPlan({n: f[index] for n, f in plan.visible.items()}, {n: f[index] for n, f in plan.target.items()})


def random_plan(given: Mapping[str, Field], seed: int = 0, share: float = 0.4) -> MaskPlan:
    layout = Layout.of(modality_set(), given)
    draw = generator("plan", seed)
    visible = {n: layout.present[n] & (draw.random(layout.present[n].shape) < share) for n in layout.inputs}
    return complete(layout, visible, "masked")


def sample_losses(output: Output) -> dict[str, Tensor]:
    """Mean loss of every sample, (B,) per output; NaN where a sample has nothing to predict."""
    num, losses = output.route.num_samples, {}
    for name, score in output.scores.items():
        zero = torch.zeros(num)
        total, count = (zero.index_add(0, score.sample, part) for part in (score.total, score.count))
        losses[name] = (total / count).detach()
    return losses


def gradients(built: MaskedAutoencoder) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in built.named_parameters() if p.grad is not None}
