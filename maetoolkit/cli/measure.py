"""What a recipe's model costs, found without weights or data: tokens, parameters by part, operations per sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maetoolkit.model.autoencoder import MaskedAutoencoder
    from maetoolkit.tokens import Batch
    from maetoolkit.train.recipe import Recipe


def describe(recipe: Recipe) -> Iterator[str]:
    """Lines for people: tokens per modality, visible and predicted tokens, parameters by part, operations."""
    modalities = recipe.modality_set
    model, batch = shape_only(recipe)
    yield f"{'modality':<16}{'role':<8}{'tokens':>8}  values per token"
    for name, modality in modalities.items():
        source = modalities[modalities.source(name)]
        shape = batch.targets[name].shape[2:] if name in batch.targets else source.content
        content = " x ".join(str(number) for number in shape)
        yield f"{name:<16}{modality.role:<8}{source.num_tokens:>8}  {content}"
    assert batch.plan is not None
    for title, flags in (("visible", batch.plan.visible), ("predicted", batch.plan.target)):
        counts = {name: int(chosen.sum()) for name, chosen in flags.items()}
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        yield f"{title} tokens: {sum(counts.values())} per sample (in one draw: {listed})"
    yield ""
    yield "parameters"
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    for name, count in {**{n: c for n, c in parts.items() if c}, "all": sum(parts.values())}.items():
        yield f"  {name:<16}{count / 1e6:>10.3f} M"
    yield f"forward pass: {operations(model, batch) / 1e9:.3f} GFLOP per sample (a multiply-add counts 2)"


def shape_only(recipe: Recipe) -> tuple[MaskedAutoencoder, Batch]:
    """The recipe's model on the meta device, which holds shapes but no values, and a batch of one planned sample."""
    import torch

    from maetoolkit.masking.plan import Layout
    from maetoolkit.randomness import Draw
    from maetoolkit.tokens import Batch, Field
    from maetoolkit.train.run import build_model

    # neither its first weights nor this machine's way to attend matter here
    indifferent = {k: v for k, v in {"init": None, "attention": "auto"}.items() if hasattr(recipe.encoder, k)}
    recipe = recipe.model_copy(update={"encoder": recipe.encoder.model_copy(update=indifferent)})
    with torch.device("meta"):
        model = build_model(recipe)
    modalities = recipe.modality_set
    fields = {name: Field.of(modalities[name].collate([None]).values) for name in modalities.fields}
    draw = Draw.of(recipe.seed, ["0"])
    sampler, patches = recipe.masking.build_for(modalities), None
    if sampler.needs_content:
        patches = {name: modalities[name].patchify(modalities[name].prepare(one)) for name, one in fields.items()}
    plan = sampler(Layout.of(modalities, fields), draw, patches=patches)
    taught = {name: t for name in modalities.outputs if (t := modalities[name].taught_by()) is not None}
    features = {}
    for name, teacher in taught.items():
        source = modalities[modalities.source(name)]
        features[name] = torch.zeros(1, source.num_tokens, teacher.width(model.encoder.dim, source))
    return model, Batch(fields, draw.keys, draw, plan, model.router(plan), targets=features)


def operations(model: MaskedAutoencoder, batch: Batch) -> int:
    """Floating-point operations of one forward pass: matrix products and attention. The model is of no use after."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with fake, FlopCounterMode(display=False) as counter, torch.no_grad():
        model.to_empty(device="cpu")
        model(batch)
    return int(counter.get_total_flops())
