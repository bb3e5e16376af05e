"""Mask tokens in the encoder: every sampler, every decoder; nothing of what is hidden is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from maetoolkit.masking import (
    Bert,
    Block,
    Conditional,
    Dirichlet,
    Each,
    Layout,
    Masking,
    MaskPlan,
    Phase,
    Restrict,
    Schedule,
    Share,
    Span,
    Tube,
    Union,
)
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import CrossDecoder, DecoderDescription, JointDecoder, LinearDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.randomness import Draw
from maetoolkit.tokens import Batch, Field

DECODERS: dict[str, DecoderDescription] = {
    "cross": CrossDecoder(dim=16, depth=1, heads=2),
    "joint": JointDecoder(dim=16, depth=1, heads=2),
    "linear": LinearDecoder(),
}
MASKINGS: dict[str, Masking] = {
    "share": Share(ratio=0.6, in_place=True),
    "SimMIM's share": Share(ratio=0.6, cell=2, in_place=True),
    "MultiMAE's budget": Dirichlet(num_visible=7, in_place=True),
    "block": Block(min_block=3, in_place=True),
    "tube": Tube(ratio=0.5, in_place=True),
    "span": Span(length=3, in_place=True),
    "bert": Bert(ratio=0.5, mask=0.5, random=0.3),
    "each": Each(samplers={"one": Block(min_block=2), "two": Bert(ratio=0.4)}, in_place=True),
    "restrict": Restrict(entries=("one",), sampler=Share(), others="hidden", in_place=True),
    "union": Union(samplers=(Block(min_block=2, ratio=0.3), Bert(ratio=0.4, mask=0.3, random=0.6)), in_place=True),
    "conditional": Conditional(sampler=Share(in_place=True)),
    "schedule": Schedule(phases=(Phase(sampler=Share(ratio=0.2, in_place=True), to={"ratio": 0.9}),)),
}
KEYS = ("first", "second", "third")


def model(masking: Masking, decoder: str) -> MaskedAutoencoder:
    entries = ModalitySet(one=RGB(size=(8, 12), patch=2), two=RGB(size=8, patch=2))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = MaskedAutoencoder(
            entries, ViT(dim=16, depth=2, heads=2, mlp_ratio=2), DECODERS[decoder], masking, seed=3
        )
        for name, parameter in built.named_parameters():
            if "mask_token" in name or name.endswith("bias"):  # nothing is left at zero, so that nothing hides
                torch.nn.init.normal_(parameter, std=0.1)
    return built


def fields() -> dict[str, Field]:
    """Three samples; the last has no `two`."""
    random = torch.Generator().manual_seed(0)
    one, two = torch.rand(3, 3, 8, 12, generator=random), torch.rand(3, 3, 8, 8, generator=random)
    return {"one": Field.of(one), "two": Field(two, torch.tensor([True, True, False]))}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", MASKINGS)
def test_a_step_is_taken_and_nothing_hidden_is_seen(name: str, decoder: str) -> None:
    built = model(MASKINGS[name], decoder)
    optimizer = torch.optim.SGD(built.parameters(), lr=0.002)
    given = {n: replace(f, values=f.values.clone().requires_grad_()) for n, f in fields().items()}
    batch = Batch(given, KEYS, Draw.of(1, KEYS))
    output = built(batch, progress=0.4)
    output.loss.backward()
    assert output.loss.isfinite()
    assert any(flags.any() for flags in output.plan.in_place.values())
    for entry in given:
        assert (built.mask_tokens[entry].grad != 0).any() or not output.plan.in_place.get(entry, torch.zeros(1)).any()
    _nothing_hidden_is_seen(built, given, output.plan)
    optimizer.step()
    assert built(batch, output.plan).loss < output.loss


def _nothing_hidden_is_seen(built: MaskedAutoencoder, given: dict[str, Field], plan: MaskPlan) -> None:
    for entry, field in given.items():
        gradient = field.values.grad
        assert gradient is not None
        moved = built.modalities[entry].patchify(Field(gradient, field.present)).values.flatten(2).ne(0).any(2)
        own = torch.arange(moved.shape[1]).expand(moved.shape)
        shown = plan.content.get(entry, own)
        seen = torch.zeros(moved.shape, dtype=torch.int64).scatter_add(1, shown, plan.visible[entry].long()) > 0
        assert (moved == seen).all(), entry


@pytest.mark.parametrize("decoder", DECODERS)
def test_values_in_hidden_places_change_no_bit(decoder: str) -> None:
    built, given = model(Bert(ratio=0.5, mask=0.5, random=0.3), decoder), fields()
    batch = Batch(given, KEYS, Draw.of(1, KEYS))
    plan = built.planned(batch).plan
    assert plan is not None
    own = {n: torch.arange(f.shape[1]).expand(f.shape) for n, f in plan.visible.items()}
    other = {}
    for entry, field in given.items():
        modality = built.modalities[entry]
        used = torch.zeros(own[entry].shape, dtype=torch.int64)
        used = used.scatter_add(1, plan.content.get(entry, own[entry]), plan.visible[entry].long())
        patches = modality.patchify(field)
        hidden = (used == 0).view(*used.shape, 1, 1, 1)
        other[entry] = Field(modality.unpatchify(patches.values.masked_fill(hidden, 9.0), patches.grid), field.present)
    first, second = built(replace(batch, plan=plan)), built(replace(batch, fields=other, plan=plan))
    for entry in given:
        assert torch.equal(first.predictions[entry], second.predictions[entry])


def test_the_encoder_has_a_token_in_every_place_where_something_is_present() -> None:
    for masking in MASKINGS.values():
        if not masking.in_place:
            continue
        built = model(masking, "linear")
        layout = Layout.of(built.modalities, fields())
        plan = built.sampler(layout, Draw.of(1, KEYS), 0.4)
        for entry, present in layout.present.items():
            held = plan.visible[entry] | plan.in_place[entry]
            assert (held == torch.from_numpy(present)).all()


def test_a_linear_decoder_refuses_a_composition_that_drops_tokens() -> None:
    with pytest.raises(ValueError, match=r"masking drops the hidden ones of 'one'; set masking.in_place=true"):
        model(Each(samplers={"one": Share(), "two": Block()}), "linear")
    in_place = Share(in_place=True)
    for masking, kept in (
        (Each(samplers={"one": Bert(), "two": Share()}), False),
        (Each(samplers={"one": Bert(), "two": in_place}), True),
        (Schedule(phases=(Phase(sampler=in_place), Phase(start=0.5, sampler=Share()))), False),
        (Restrict(entries=("one",), sampler=in_place), True),
        (Restrict(entries=("one",), sampler=in_place, others="hidden"), False),
        (Restrict(entries=("one",), sampler=Share(), others="hidden", in_place=True), True),
        (Union(samplers=(in_place, Share())), False),
    ):
        assert all(masking.holds(entry) for entry in ("one", "two")) == kept
        if not kept:
            with pytest.raises(ValueError, match=r"set masking.in_place=true, or use a cross or joint decoder"):
                model(masking, "linear")
