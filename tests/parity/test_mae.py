"""The published MAE, to the digit."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange
from golden_files import golden, mae, names, plan_from
from test_multimae import close

from maetoolkit.export.published import OURS_TO_MAE, _to_mae, save_mae, translate
from maetoolkit.tokens import Field

CASES = names("mae_case*")


def setup(name: str, standardized: bool):
    case = golden(name)
    model = mae(case.config, standardized)
    fields = {"rgb": Field.of(case.tensors["imgs"])}
    plan = plan_from(model, {"rgb": case.tensors["mask"]}, {})
    return case, model, fields, plan


@pytest.mark.parametrize("name", CASES)
def test_latent_matches(name: str) -> None:
    case, model, fields, plan = setup(name, True)
    ready = model.cut(fields, plan)
    latent = model.encoder(model.embed(ready.patches, ready.route)).x.unflatten(0, (ready.route.num_samples, -1))
    order = case.tensors["ids_keep"].argsort(1)[..., None].expand(-1, -1, latent.shape[-1])
    published = case.tensors["latent"]
    in_raster_order = torch.cat([published[:, :1], published[:, 1:].gather(1, order)], dim=1)
    torch.testing.assert_close(latent, in_raster_order, atol=5e-5, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_predictions_match_on_all_tokens(name: str) -> None:
    case, model, fields, plan = setup(name, False)
    every = type(plan)(plan.visible, {out: torch.ones_like(flags) for out, flags in plan.target.items()})
    prediction = model(fields, every).predictions["rgb"].unflatten(0, case.tensors["mask"].shape)
    published = rearrange(prediction, "b n c h w -> b n (h w c)")
    torch.testing.assert_close(published, case.tensors["pred"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("standardized", "key"), [(True, "loss_normpix_true"), (False, "loss_normpix_false")])
def test_losses_match(name: str, standardized: bool, key: str) -> None:
    case, model, fields, plan = setup(name, standardized)
    torch.testing.assert_close(model(fields, plan).loss, case.tensors[key], atol=5e-6, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_standardised_targets_match(name: str) -> None:
    case, model, fields, _ = setup(name, True)
    patches = model.cut(fields).patches["rgb"].values
    target = model.modalities["target"].target(patches.flatten(0, 1)).unflatten(0, patches.shape[:2])
    published = rearrange(target, "b n c h w -> b n (h w c)")
    torch.testing.assert_close(published, case.tensors["target_patches_norm"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_gradient_of_every_parameter_matches(name: str) -> None:
    case, model, fields, plan = setup(name, True)
    model(fields, plan).loss.backward()
    expected = {k: v for k, v in case.tensors.items() if k.startswith("grad_normpix_true.")}
    assert len(expected) == sum(p.requires_grad for p in model.parameters())
    for parameter, tensor in model.named_parameters():
        published = translate(parameter, OURS_TO_MAE)
        close(_to_mae(model, parameter, tensor.grad), expected[f"grad_normpix_true.{published}"], parameter)


def test_state_dict_is_written_back_identically() -> None:
    weights = golden("mae_weights")
    written = save_mae(mae(weights.config, True))
    assert set(written) == set(weights.tensors)
    for name, value in weights.tensors.items():
        assert torch.equal(written[name], value), name
