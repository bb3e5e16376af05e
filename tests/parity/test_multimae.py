"""The published MultiMAE, to the digit: predictions, encoder tokens, losses, gradients."""

from __future__ import annotations

import pytest
import torch
from golden_files import Golden, golden, loaded_multimae, names, plan_from

from maetoolkit.export.published import OURS_TO_MULTIMAE, _to_multimae, save_multimae, translate
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.tokens import Field

CASES = [
    (name, prefix)
    for name in names("multimae_case_*")
    if not name.endswith("_grads")
    for prefix in (("b1.", "b2.") if "case_b_" in name else ("",))
]


def prepare(name: str, prefix: str) -> tuple[Golden, MaskedAutoencoder, dict, dict]:
    case = golden(name)
    tensors = case.part(prefix)
    removed = case.config.get(f"{prefix}removed_keys".replace(".", "_")) if prefix == "b2." else None
    inputs = [m for m in case.config["in_domains"] if f"task_mask.{m}" in tensors] if removed else None
    model = loaded_multimae(case.config, removed, inputs)
    shared = case.part("b1.") if prefix else tensors
    fields = {m: shared[f"input.{m}"] for m in model.modalities.fields if f"input.{m}" in shared}
    masks = {m: tensors[f"task_mask.{m}"] for m in model.modalities.inputs if f"task_mask.{m}" in tensors}
    return case, model, {m: Field.of(v) for m, v in fields.items()}, {"tensors": tensors, "masks": masks}


def plan_of(model: MaskedAutoencoder, fields: dict, masks: dict):
    num = {m: model.modalities[m].layout(fields.get(m))[1] for m in model.modalities.fields}
    return plan_from(model, masks, num)


@pytest.mark.parametrize(("name", "prefix"), CASES)
def test_predictions_match(name: str, prefix: str) -> None:
    _, model, fields, given = prepare(name, prefix)
    ready = model.cut(fields, plan_of(model, fields, given["masks"]))
    every = {out: torch.ones_like(flags) for out, flags in ready.plan.target.items()}
    ready = model.cut(fields, type(ready.plan)(ready.plan.visible, every))
    features = model.decoder(model.encoder(model.embed(ready.patches, ready.route)), ready.patches, ready.route)
    for out, head in model.heads.items():
        source = model.modalities.source(out)
        prediction = head(features[out]).unflatten(0, ready.patches[source].present.shape)
        expected = given["tensors"][f"pred.{out}"]
        image = _image(prediction, ready.patches[source].grid)
        torch.testing.assert_close(image, expected, atol=1e-5, rtol=0)


def _image(values: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    from einops import rearrange

    return rearrange(values, "b (h w) c p q -> b c (h p) (w q)", h=grid[0], w=grid[1])


@pytest.mark.parametrize(("name", "prefix"), CASES)
def test_encoder_tokens_match(name: str, prefix: str) -> None:
    case, model, fields, given = prepare(name, prefix)
    ready = model.cut(fields, plan_of(model, fields, given["masks"]))
    latent = model.encoder(model.embed(ready.patches, ready.route)).x.unflatten(0, (ready.route.num_samples, -1))
    num_globals = case.config["num_global_tokens"]
    published = torch.cat([latent[:, num_globals:], latent[:, :num_globals]], dim=1)  # ours come first, theirs last
    torch.testing.assert_close(published, given["tensors"]["encoder_tokens"], atol=5e-5, rtol=0)


@pytest.mark.parametrize(("name", "prefix"), CASES)
def test_losses_match(name: str, prefix: str) -> None:
    _, model, fields, given = prepare(name, prefix)
    output = model(fields, plan_of(model, fields, given["masks"]))
    for out, loss in output.losses.items():
        torch.testing.assert_close(loss, given["tensors"][f"loss.{out}"], atol=5e-6, rtol=0)
    torch.testing.assert_close(output.loss, given["tensors"]["loss_total"], atol=2e-5, rtol=0)


@pytest.mark.parametrize(("name", "prefix"), CASES)
def test_losses_of_single_samples_match(name: str, prefix: str) -> None:
    _, model, fields, given = prepare(name, prefix)
    plan = plan_of(model, fields, given["masks"])
    for sample in range(len(next(iter(fields.values())))):
        one = slice(sample, sample + 1)
        alone = {m: Field.of(f.values[one]) for m, f in fields.items()}
        part = type(plan)({m: v[one] for m, v in plan.visible.items()}, {m: v[one] for m, v in plan.target.items()})
        losses = model(alone, part).losses
        for out, loss in losses.items():
            expected = given["tensors"][f"loss_per_sample.{out}"][sample]
            torch.testing.assert_close(loss, expected.nan_to_num(0.0), atol=5e-6, rtol=0)


@pytest.mark.parametrize(("name", "prefix"), CASES)
def test_losses_on_all_tokens_match(name: str, prefix: str) -> None:
    _, model, fields, given = prepare(name, prefix)
    plan = plan_of(model, fields, given["masks"])
    every = type(plan)(plan.visible, {out: torch.ones_like(flags) for out, flags in plan.target.items()})
    for out, loss in model(fields, every).losses.items():
        torch.testing.assert_close(loss, given["tensors"][f"loss_unmasked.{out}"], atol=5e-6, rtol=0)


@pytest.mark.parametrize(("name", "prefix"), CASES)
def test_gradients_match(name: str, prefix: str) -> None:
    case, model, fields, given = prepare(name, prefix)
    gradients = published_gradients(model, fields, plan_of(model, fields, given["masks"]))
    for parameter, expected in given["tensors"].items():
        if parameter.startswith("grad."):
            close(gradients[parameter.removeprefix("grad.")], expected, parameter)
    norms = torch.stack([_norm(gradients.get(p)) for p in case.config[f"{prefix}grad_names"]])
    torch.testing.assert_close(norms, given["tensors"]["grad_l2"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", names("multimae_case_*_grads"))
def test_gradient_of_every_parameter_matches(name: str) -> None:
    base = next(n for n in names("multimae_case_d*") if not n.endswith("_grads"))
    _, model, fields, given = prepare(base, "")
    gradients = published_gradients(model, fields, plan_of(model, fields, given["masks"]))
    expected = {k: v for k, v in golden(name).tensors.items() if k.startswith("grad.")}
    assert len(expected) == sum(p.requires_grad for p in model.parameters())
    for parameter, gradient in expected.items():
        close(gradients[parameter.removeprefix("grad.")], gradient, parameter)


def published_gradients(model: MaskedAutoencoder, fields: dict, plan) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(fields, plan).loss.backward()
    pairs = ((name, p.grad) for name, p in model.named_parameters() if p.grad is not None)
    return {translate(name, OURS_TO_MULTIMAE): _to_multimae(model, name, gradient) for name, gradient in pairs}


def close(found: torch.Tensor, expected: torch.Tensor, name: str) -> None:
    error = (found - expected).norm()
    assert error <= 1e-4 * expected.norm() + 1e-6, f"{name}: relative error {error / expected.norm():.2e}"


def _norm(gradient: torch.Tensor | None) -> torch.Tensor:
    return torch.zeros(()) if gradient is None else gradient.norm()


@pytest.mark.parametrize("name", [n for n in names("multimae_case_*") if "_a_" in n])
def test_five_steps_of_adamw_match(name: str) -> None:
    _, model, fields, given = prepare(name, "")
    plan = plan_of(model, fields, given["masks"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.05)
    losses = []
    for _ in given["tensors"]["adamw.loss_total"]:
        optimizer.zero_grad()
        loss = model(fields, plan).loss
        losses.append(loss.detach())
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(torch.stack(losses), given["tensors"]["adamw.loss_total"], atol=2e-5, rtol=0)


def test_state_dict_is_written_back_identically() -> None:
    weights = golden("multimae_weights")
    written = save_multimae(loaded_multimae(weights.config))
    assert set(written) == set(weights.tensors)
    for name, value in weights.tensors.items():
        assert torch.equal(written[name], value), name
