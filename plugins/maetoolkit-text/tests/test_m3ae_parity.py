"""The published M3AE, to the digit: paired, image only, text only, unpaired."""

from __future__ import annotations

import math

import pytest
import torch
from einops import rearrange, repeat
from m3ae_golden import Case, m3ae, modalities, planned, tensors_of
from maetoolkit_text.published import load_m3ae, m3ae_names, save_m3ae, to_m3ae

from maetoolkit.layers.position import grid_coordinates, sincos
from maetoolkit.model.balance import Score, Weighted
from maetoolkit.tokens import Batch, Field

MODES = ("paired", "image", "text")
PREDICTION, TOKENS, LOSS = {"atol": 1e-5, "rtol": 0}, {"atol": 5e-5, "rtol": 0}, {"atol": 5e-6, "rtol": 0}


def output(case: Case, every: bool = False, weights: dict[str, float] | None = None):
    model = m3ae(weights)
    return model, model(case.batch(every))


@pytest.mark.parametrize("mode", MODES)
def test_encoder_tokens_match(mode: str) -> None:
    case, model = Case(mode), m3ae()
    ready = model.cut(case.batch())
    latent = model.encoder(model.embed(ready.patches, ready.route)).x
    published = case.get("encoder_tokens")  # class token, kept patches, kept words with padding among them, as drawn
    num_samples = len(published)
    torch.testing.assert_close(latent[ready.route.globals], published[:, 0], **TOKENS)
    start = 1
    for name, what in (("rgb", "image"), ("text", "text")):
        if name not in case.entries:
            continue
        kept = (~case.hidden()[name][0]).sum().item()
        order = case.get(f"{what}_ids_restore").argsort()[:kept]
        theirs = published[:, start : start + kept][:, order.argsort()]
        visible = ready.plan.visible[name][:, order.sort().values]
        torch.testing.assert_close(latent[ready.route.rows[name]], theirs[visible], **TOKENS)
        assert len(visible) == num_samples
        start += kept


@pytest.mark.parametrize("mode", MODES)
def test_predictions_match_at_every_token_that_is_there(mode: str) -> None:
    case = Case(mode)
    _, found = output(case, every=True)
    for name, what in (("rgb", "image_output"), ("text", "text_output")):
        if name not in case.entries:
            assert not len(found.predictions[name])
            continue
        ours = found.predictions[name]
        ours = rearrange(ours, "t c h w -> t (h w c)") if name == "rgb" else ours
        torch.testing.assert_close(ours, case.get(what)[found.plan.target[name]], **PREDICTION)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("every", "suffix"), [(False, ""), (True, "_all")])
def test_losses_match(mode: str, every: bool, suffix: str) -> None:
    case = Case(mode)
    _, found = output(case, every)
    for name, what in (("rgb", "image_loss"), ("text", "text_loss")):
        expected = case.get(what + suffix) if name in case.entries else torch.tensor(0.0)
        torch.testing.assert_close(found.losses[name].detach(), expected, **LOSS)


@pytest.mark.parametrize("mode", ["paired", "text"])
@pytest.mark.parametrize(("every", "suffix"), [(False, ""), (True, "_all")])
def test_accuracies_match(mode: str, every: bool, suffix: str) -> None:
    case = Case(mode)
    model, found = output(case, every)
    target = found.plan.target["text"]
    right = (found.predictions["text"].argmax(1) == case.text_field().values[target]).float()
    score = Score(right, torch.ones_like(right), found.scores["text"].sample)
    _, mean = Weighted("per_sample_all", {"text": 1.0})({"text": score}, len(target))
    torch.testing.assert_close(mean["text"], case.get("text_accuracy" + suffix), **LOSS)
    confidence = model.modalities["text"].confidence(found.predictions["text"])
    assert confidence.min() > 0
    assert confidence.max() <= 1


def test_total_losses_match_for_all_weights_unpaired_text_included() -> None:
    case = Case("paired")
    hidden = repeat(case.tensors["unpaired.noise.text"].argsort().argsort(), "n -> b n", b=len(case.fields()["text"]))
    batch = planned({"text": case.text_field("unpaired.")}, {"text": hidden >= case.config["keep_text"]})
    unpaired = m3ae()(batch).losses["text"]
    torch.testing.assert_close(unpaired.detach(), case.tensors["unpaired.text_loss"], **LOSS)
    for number, (image, text, alone) in enumerate(case.config["weights"]):
        _, found = output(case, weights={"rgb": image, "text": text})
        total = found.loss + alone * unpaired
        torch.testing.assert_close(total.detach(), case.get(f"total_w{number}"), **LOSS)


def test_unpaired_text_in_the_same_batch_gives_the_same_total() -> None:
    """As `data.type: mix` trains: one batch of both sources, the text-only one with a weight of its own."""
    case, number = Case("paired"), 2
    image, text, alone = case.config["weights"][number]
    paired, field = case.batch(), case.text_field("unpaired.")
    num = len(field)
    rank = case.tensors["unpaired.noise.text"].argsort().argsort()
    other = planned({"text": field}, {"text": repeat(rank >= case.config["keep_text"], "n -> b n", b=num)})
    assert paired.plan is not None
    assert other.plan is not None
    pixels = paired.fields["rgb"].values
    rgb = Field(torch.cat([pixels, torch.full_like(pixels, torch.nan)]), torch.arange(2 * num) < num)
    words = [paired.fields["text"], field]
    both = Field(torch.cat([f.values for f in words]), torch.cat([f.present for f in words]))
    join = {
        kind: {n: torch.cat([getattr(paired.plan, kind)[n], getattr(other.plan, kind)[n]]) for n in ("rgb", "text")}
        for kind in ("visible", "target")
    }
    weight = torch.cat([torch.ones(num), torch.full((num,), alone / text)])
    batch = Batch(
        {"rgb": rgb, "text": both}, tuple(map(str, range(2 * num))), plan=type(paired.plan)(**join), weight=weight
    )
    found = m3ae({"rgb": image, "text": text})(batch)
    torch.testing.assert_close(2 * found.loss.detach(), case.get(f"total_w{number}"), **LOSS)


@pytest.mark.parametrize("mode", MODES)
def test_gradient_of_every_parameter_matches(mode: str) -> None:
    case = Case(mode)
    model, found = output(case, weights=Case(mode).weights)
    found.loss.backward()
    norms = dict(zip(case.config["grad_names"], case.get("grad_l2"), strict=True))
    parameters = dict(model.named_parameters())
    assert {f"params/{theirs}" for theirs in m3ae_names(model).values()} == set(norms)
    assert set(m3ae_names(model)) == set(parameters)
    for name, theirs in m3ae_names(model).items():
        given = parameters[name].grad
        gradient = to_m3ae(model, name, torch.zeros_like(parameters[name]) if given is None else given)
        norm = norms[f"params/{theirs}"]
        assert abs(gradient.norm() - norm) <= 1e-4 * norm + 1e-6, theirs
        key = f"{mode}.grad.params/{theirs}"
        if key in case.tensors:
            expected = case.tensors[key]
            assert (gradient - expected).norm() <= 1e-4 * expected.norm() + 1e-6 * expected.numel() ** 0.5, theirs


def test_a_caption_of_padding_alone_predicts_nothing_and_only_dilutes_the_mean() -> None:
    case = Case("text")
    _, found = output(case)
    words = case.text_field().present.sum(1)
    assert (words == 0).any(), "the golden batch should have a sample that is padding only"
    assert not found.plan.target["text"][words == 0].any()
    per_sample = torch.zeros(len(words)).index_add(0, found.scores["text"].sample, found.scores["text"].total.detach())
    counted = torch.zeros(len(words)).index_add(0, found.scores["text"].sample, found.scores["text"].count)
    mean = (per_sample / counted.clamp(min=1)).sum() / len(words)
    torch.testing.assert_close(mean, case.get("text_loss"), **LOSS)


@pytest.mark.parametrize(("key", "entries"), [("", ("rgb", "text")), ("_image", ("rgb",))])
def test_representations_match(key: str, entries: tuple[str, ...]) -> None:
    case, model = Case("paired"), m3ae().eval()
    fields = {name: field for name, field in case.fields().items() if name in entries}
    encoded = model.encode(fields)
    published = case.tensors[f"forward_representation{key}"]
    torch.testing.assert_close(encoded.summary, published[:, :1], **TOKENS)
    num = case.config["L"]
    torch.testing.assert_close(encoded.tokens("rgb"), published[:, 1 : 1 + num], **TOKENS)
    if "text" in entries:
        ours = encoded.latent.x[encoded.route.rows["text"]]
        torch.testing.assert_close(ours, published[:, 1 + num :][case.text_field().present], **TOKENS)


def test_position_tables_match() -> None:
    tables = {name: table for name, table in tensors_of("m3ae_units")[1].items() if name.startswith("pos")}
    for name, table in tables.items():
        num = table.shape[1]
        grid = (num,) if name.startswith("pos1d") else (math.isqrt(num),) * 2
        ours = sincos(grid_coordinates(grid), table.shape[-1], "column_first")
        torch.testing.assert_close(ours[None], table, atol=1e-5, rtol=0)
    assert {name.split(".")[0] for name in tables} == {"pos1d", "pos2d"}


@pytest.mark.parametrize("valid", ["unit.ce.valid", None])
def test_the_text_loss_alone_matches(valid: str | None) -> None:
    _, tensors = tensors_of("m3ae_units")
    logits, tokens = tensors["unit.ce.logits"], tensors["unit.ce.tokens"].long()
    flags = tensors[valid].bool() if valid else torch.ones_like(tokens, dtype=torch.bool)
    text = modalities({**Case("paired").config, "vocab": logits.shape[-1]})["text"]
    total, count = text.token_loss(logits[flags], tokens[flags][:, None], None)
    score = Score(total, count, flags.nonzero()[:, 0])
    _, mean = Weighted("per_sample_all", {"text": 1.0})({"text": score}, len(tokens))
    torch.testing.assert_close(mean["text"], tensors["unit.ce.loss" + ("" if valid else "_valid_none")], **LOSS)


@pytest.mark.parametrize("valid", ["unit.mse.valid", None])
def test_the_image_loss_alone_matches(valid: str | None) -> None:
    _, tensors = tensors_of("m3ae_units")
    prediction, target = tensors["unit.mse.output"], tensors["unit.mse.target"]
    flags = tensors[valid].bool() if valid else torch.ones(prediction.shape[:2], dtype=torch.bool)
    rgb = modalities(Case("paired").config)["rgb"]
    total, count = rgb.token_loss(prediction[flags], target[flags], None)
    score = Score(total, count, flags.nonzero()[:, 0])
    _, mean = Weighted("per_sample_all", {"rgb": 1.0})({"rgb": score}, len(flags))
    torch.testing.assert_close(mean["rgb"], tensors["unit.mse.loss" + ("" if valid else "_valid_none")], **LOSS)


def test_parameters_are_written_back_identically() -> None:
    parameters = tensors_of("m3ae_params")[1]
    written = save_m3ae(m3ae())
    assert set(written) == set(parameters)
    for name, value in parameters.items():
        assert torch.equal(torch.from_numpy(written[name]), value), name


def test_parameters_that_do_not_fit_are_named() -> None:
    model, parameters = m3ae(), tensors_of("m3ae_params")[1]
    missing = {name: value for name, value in parameters.items() if not name.endswith("cls_token")}
    with pytest.raises(ValueError, match="missing cls_token"):
        load_m3ae(model, missing)
    with pytest.raises(ValueError, match="left over extra"):
        load_m3ae(model, {**parameters, "params/extra": torch.zeros(1)})
    narrow = {**parameters, "params/text_embedding/embedding": torch.zeros(3, 4)}
    with pytest.raises(ValueError, match=r"text_embedding/embedding: expected \(\d+, \d+\).*found \(3, 4\)"):
        load_m3ae(model, narrow)
