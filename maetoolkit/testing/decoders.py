"""The laws of decoders. Axes: B samples, N tokens of a field, T target tokens, L latent tokens, D width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from maetoolkit.masking.plan import MaskPlan
from maetoolkit.testing.decoder_case import IDLE, NUM_SAMPLES, DecoderCase, only, without_targets
from maetoolkit.testing.law import law, require
from maetoolkit.testing.roundtrip import description_survives, weights_survive
from maetoolkit.tokens import Packed, Patches


@law(
    "shape",
    why="Heads and losses take the rows of a decoder to be the target tokens, one by one.",
    see="plan = case.plan(); features = case.features(plan)\n"
    "{name: (f.shape, int(plan.target[name].sum())) for name, f in features.items()}",
)
def shape(case: DecoderCase) -> None:
    """For every output there is one feature vector of the decoder's width per target token, and nothing else."""
    decoder, plan = case.decoder(), case.plan()
    width = getattr(decoder, "dim", getattr(case.description, "dim", None))
    require(isinstance(width, int), "the decoder's module must say the width of its features as `dim`")
    features = case.features(plan, decoder)
    outputs = set(case.modalities.outputs)
    require(set(features) == outputs, f"features of {sorted(features)}, expected {sorted(outputs)}")
    for name, found in features.items():
        expected = (int(plan.target[name].sum()), width)
        require(
            tuple(found.shape) == expected, f"features of {name!r} of shape {tuple(found.shape)}, expected {expected}"
        )
        require(found.is_floating_point(), f"features of {name!r} are {found.dtype}")


@law(
    "order",
    why="The feature of one token would be scored against the patch of another, and the model learns a blur.",
    see="plan = case.plan(); route = case.router(plan)\ncase.placed(case.features(plan), route), route.target",
)
def order(case: DecoderCase) -> None:
    """Features are in the order of their target tokens, and go by the coordinates of tokens, not by their number:
    listing a field's tokens in another order moves its features along and changes none."""
    plan, patches, table = case.plan(), dict(case.patches), dict(case.table)
    moved = {n: torch.as_tensor(case.random("order", n).permutation(p.num_tokens)) for n, p in patches.items()}
    sources = case.modalities.sources
    after = MaskPlan(
        {n: flags[:, moved[n]] for n, flags in plan.visible.items()},
        {n: flags[:, moved[sources[n]]] for n, flags in plan.target.items()},
        {n: flags[:, moved[n]] for n, flags in plan.in_place.items()},
    )
    for name, one in case.patches.items():
        values, places, present = (v[:, moved[name]] for v in (one.values, one.positions, one.present))
        patches[name] = Patches(values, places, present, one.grid)
    for name in case.modalities.inputs:
        table[name] = table[name][:, moved[name]]
    decoder = case.decoder().eval()
    route, other = case.router(plan), case.router(after)
    with torch.no_grad():
        before = case.placed(decoder(case.latent(route), case.patches, route), route)
        found = case.placed(decoder(case.latent(other, table), patches, other), other)
    for name, features in before.items():
        _close(f"features of {name!r}, listed in another order,", found[name], features[:, moved[sources[name]]])


@law(
    "no leak",
    why="A decoder that sees any part of the answer need not learn it.",
    see="patches = {n: dataclasses.replace(p, values=p.values * 0) for n, p in case.patches.items()}\n"
    "case.features(case.plan()), case.features(case.plan(), patches=patches)",
)
def no_hidden_values(case: DecoderCase) -> None:
    """No bit of any feature depends on the values of patches that are hidden or absent, be they NaN."""
    plan, decoder, hidden = case.plan(), case.decoder().eval(), {}
    for name, one in case.patches.items():
        seen = plan.visible.get(name, torch.zeros_like(one.present))
        seen = seen.view(*seen.shape, *[1] * (one.values.ndim - 2))
        filler = torch.full_like(one.values, torch.nan) if one.values.is_floating_point() else one.values.roll(1, 0)
        hidden[name] = replace(one, values=one.values.where(seen, filler))
    with torch.no_grad():
        before, after = case.features(plan, decoder), case.features(plan, decoder, hidden)
    for name, features in before.items():
        same = torch.equal(features, after[name])
        require(same, f"features of {name!r} change with the values of hidden or absent patches")


@law(
    "alone",
    why="Attention that reaches into another sample mixes pictures, and makes every number depend on the batch.",
    see="plan = case.plan(); whole = case.placed(case.features(plan), case.router(plan))\n"
    "# then the same for `only(plan, i)` with the latent and the patches of sample i",
)
def samples_alone(case: DecoderCase) -> None:
    """A sample's features are the same, to 1e-5, alone and in a batch, whatever entries the others have; their
    gradient with respect to the latent of other samples is exactly 0."""
    plan, decoder = case.plan(), case.decoder().eval()
    route = case.router(plan)
    latent = case.latent(route)
    x = latent.x.clone().requires_grad_()
    whole = decoder(latent.replace(x), case.patches, route)
    parts = latent.x.split(route.segments.lengths)
    for sample in range(NUM_SAMPLES):
        own = {n: _of(p, sample) for n, p in case.patches.items()}
        alone = case.router(only(plan, sample))
        with torch.no_grad():
            found = decoder(Packed(parts[sample], alone.segments), own, alone)
        mine = {name: features[route.sample[name] == sample] for name, features in whole.items()}
        for name, features in mine.items():
            _close(f"features of {name!r} for sample {sample}, alone and in a batch,", found[name], features.detach())
        total = torch.stack([f.square().sum() for f in mine.values()]).sum()
        (gradient,) = torch.autograd.grad(total, x, retain_graph=True, allow_unused=True)
        if gradient is not None:
            owner = torch.repeat_interleave(torch.arange(NUM_SAMPLES), torch.tensor(route.segments.lengths))
            num = int((gradient[owner != sample] != 0).any(1).sum())
            require(num == 0, f"features of sample {sample} depend on {num} tokens of other samples")


def _of(patches: Patches, sample: int) -> Patches:
    rows = slice(sample, sample + 1)
    valid = None if patches.valid is None else patches.valid[rows]
    return Patches(patches.values[rows], patches.positions[rows], patches.present[rows], patches.grid, valid)


@law(
    "latent",
    why="A decoder that ignores the encoder teaches it nothing; one that ignores positions predicts one thing for all.",
    see="plan = case.plan()\ncase.features(plan)",
)
def reads_the_latent(case: DecoderCase) -> None:
    """Features depend on the latent of their own sample, and those of two tokens of a sample differ."""
    plan = case.plan()
    route = case.router(plan)
    latent = case.latent(route)
    x = latent.x.clone().requires_grad_()
    features = case.decoder().eval()(latent.replace(x), case.patches, route)
    weights = {
        n: torch.as_tensor(case.random("weights", n).random(tuple(f.shape), "float32")) for n, f in features.items()
    }
    (gradient,) = torch.autograd.grad(
        torch.stack([(f * weights[n]).sum() for n, f in features.items()]).sum(), x, allow_unused=True
    )
    lengths = route.segments.lengths
    parts = x.new_zeros(x.shape).split(lengths) if gradient is None else gradient.split(lengths)
    for sample in range(NUM_SAMPLES):
        busy = any(bool(flags[sample].any()) for flags in plan.target.values())
        require(not busy or bool(parts[sample].any()), f"features of sample {sample} do not depend on its latent")
    for name, found in features.items():
        for sample in range(NUM_SAMPLES):
            mine = found[route.sample[name] == sample].detach()
            num = len(mine.unique(dim=0))
            require(
                num == len(mine), f"{len(mine)} tokens of {name!r} in sample {sample} have {num} different features"
            )


@law(
    "finite",
    why="Batches with nothing hidden, nothing visible or nothing to predict do come, and one NaN ends the run.",
    see="features = case.features(without_targets(case.plan(), [0, 1, 2, 3, 4, 5]))\n"
    "sum(f.square().sum() for f in features.values()).backward()",
)
def finite_features(case: DecoderCase) -> None:
    """Features and gradients are finite with no, some or all tokens visible, for samples without any target and for
    batches without one; there is always something to differentiate."""
    for what, plan in _plans(case):
        decoder = case.decoder()
        latent = case.latent(case.router(plan))
        x = latent.x.clone().requires_grad_()
        features = decoder(latent.replace(x), case.patches, case.router(plan))
        bad = [name for name, found in features.items() if not found.isfinite().all()]
        require(not bad, f"features of {', '.join(bad)} are not finite with {what}")
        total = torch.stack([found.square().sum() for found in features.values()]).sum()
        require(total.requires_grad, f"features are cut off from the latent and the weights with {what}")
        total.backward()
        weights = {**dict(decoder.named_parameters()), "the latent": x}
        bad = [name for name, one in weights.items() if one.grad is not None and not one.grad.isfinite().all()]
        require(not bad, f"the gradient of {', '.join(bad[:3])} is not finite with {what}")


def _plans(case: DecoderCase) -> Iterator[tuple[str, MaskPlan]]:
    yield "half of the tokens visible", case.plan()
    yield "no visible token", case.plan(0.0)
    yield "all tokens visible", case.plan(1.0)
    yield "all tokens visible and scored", case.plan(1.0, "all")
    yield "no target at all", without_targets(case.plan(), list(range(NUM_SAMPLES)))


@law(
    "cost",
    why="The decoder's cost is linear in what is predicted; samples without targets, and tokens nobody asked for, are "
    "not to be paid for.",
    see="from torch.utils.flop_counter import FlopCounterMode\n"
    "with FlopCounterMode(display=False) as counter: case.features(case.plan())\ncounter.get_total_flops()",
)
def cost(case: DecoderCase) -> None:
    """A batch costs less where samples have nothing to predict, and least where none has."""
    plan, decoder = case.plan(), case.decoder().eval()
    busy = [i for i in range(NUM_SAMPLES) if i != IDLE]
    flops = [_flops(case, decoder, without_targets(plan, busy[:num])) for num in (0, 3, len(busy))]
    require(flops[0] >= flops[1] >= flops[2], f"{flops} operations with 5, 2 and 0 samples to decode; expected fewer")
    require(flops[2] < flops[0] or not flops[0], f"{flops[2]} operations to decode nothing, {flops[0]} to decode all")


def _flops(case: DecoderCase, decoder: nn.Module, plan: MaskPlan) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        case.features(plan, decoder)
    return int(counter.get_total_flops())


@law(
    "round trip",
    why="A run is what its recipe and its checkpoint say; what they leave out is lost on resume.",
    see="plain = case.description.model_dump(mode='json')\nplain, type(case.description).model_validate(plain)",
)
def decoder_round_trip(case: DecoderCase) -> None:
    """The description survives plain values, YAML and a pickle; the weights survive safetensors, and the same features
    come out."""
    description_survives(case.description)
    decoder, other = case.decoder().eval(), replace(case, seed=case.seed + 1).decoder().eval()
    if decoder.state_dict():
        weights_survive(decoder, other)
    plan = case.plan()
    with torch.no_grad():
        before, after = case.features(plan, decoder), case.features(plan, other)
    for name, features in before.items():
        same = torch.equal(features, after[name])
        require(same, f"features of {name!r} differ after safetensors: something is kept outside the state dict")


def _close(what: str, found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, msg=lambda text: f"{what} differ: {text}")
