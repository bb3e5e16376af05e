"""Targets that a network makes: owned by the trainer, never by the student."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from small_models import all_present, batch, fields, modality_set, model

from maetoolkit.errors import ConfigError
from maetoolkit.masking import Share
from maetoolkit.modalities.features import Features
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.model.teacher import Teachers

EMA = {"type": "ema", "momentum": 0.9, "final_momentum": 0.9}
TIMM = {"type": "timm", "name": "vit_tiny_patch16_224", "pretrained": False}


def entries(teacher: dict[str, object], **settings: object) -> ModalitySet:
    return ModalitySet(**modality_set(), clip=Features.model_validate({"of": "rgb", "teacher": teacher, **settings}))


@pytest.mark.parametrize("teacher", [EMA, TIMM])
@pytest.mark.parametrize("loss", ["cosine", "mse"])
def test_a_teachers_features_are_predicted_where_the_mask_says(teacher: dict[str, object], loss: str) -> None:
    built = model(entries=entries(teacher, loss=loss))
    teachers = Teachers(built)
    given = teachers(batch(all_present(2)))
    output = built(given)
    assert output.predictions["clip"].shape == (int(output.plan.target["clip"].sum()), given.targets["clip"].shape[2])
    assert torch.equal(output.plan.target["clip"], output.plan.target["rgb"])
    output.loss.backward()
    assert math.isfinite(float(output.losses["clip"].detach()))
    assert float(output.losses["clip"].detach()) > 0


@pytest.mark.parametrize(("score", "expected"), [("visible", 3), ("masked", 3), ("all", 6)])
def test_features_are_predicted_at_hidden_visible_or_all_tokens(score: str, expected: int) -> None:
    built = model(entries=entries(EMA, score=score), masking=Share(ratio=0.5))
    plan = built(Teachers(built)(batch(all_present(2)))).plan
    assert plan.target["clip"].sum(1).tolist() == [expected] * 2
    if score != "all":
        assert torch.equal(plan.target["clip"], plan.visible["rgb"] == (score == "visible"))


@pytest.mark.parametrize("teacher", [EMA, TIMM])
def test_no_weight_of_a_teacher_is_the_students(teacher: dict[str, object]) -> None:
    built = model(entries=entries(teacher))
    before = set(built.state_dict())
    teachers = Teachers(built)
    assert set(built.state_dict()) == before
    mine = {p.data_ptr() for p in built.parameters()}
    theirs = list(teachers["clip"].parameters())
    assert theirs
    assert not any(p.requires_grad or p.data_ptr() in mine for p in theirs)
    assert teachers(batch(all_present(1))).targets["clip"].requires_grad is False


def test_a_frozen_teacher_stays_bit_identical_and_an_average_follows_its_closed_form() -> None:
    built = model(entries=entries(EMA))
    teachers = Teachers(built)
    start = built.encoder.blocks[0].mlp.fc1.weight.detach().clone()
    with torch.no_grad():
        for _ in range(5):
            built.encoder.blocks[0].mlp.fc1.weight.add_(1)
            teachers.update(built, 0.0)
    found = dict(teachers["clip"].named_parameters())["student.encoder.blocks.0.mlp.fc1.weight"]
    expected = start + sum(0.1 * 0.9 ** (5 - step) * step for step in range(1, 6))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

    frozen = Teachers(model(entries=entries(TIMM)))
    before = frozen.fingerprints()
    frozen.update(built, 0.5)
    assert frozen.fingerprints() == before
    assert frozen.state() == {}


def test_the_momentum_rises_along_a_half_cosine() -> None:
    built = model(entries=entries({"type": "ema", "momentum": 0.5, "final_momentum": 1.0}))
    teachers = Teachers(built)
    name = "student.encoder.global_tokens"
    for progress, momentum in ((0.0, 0.5), (0.5, 0.75), (1.0, 1.0)):
        before = dict(teachers["clip"].named_parameters())[name].clone()
        with torch.no_grad():
            built.encoder.global_tokens.add_(1)
        teachers.update(built, progress)
        after = dict(teachers["clip"].named_parameters())[name]
        torch.testing.assert_close(after, before * momentum + built.encoder.global_tokens * (1 - momentum))


def test_the_average_sees_everything_and_keeps_each_token_in_its_place() -> None:
    built = model(entries=entries({"type": "ema", "layers": 2})).eval()
    given = fields({"rgb": [True, False, True], "depth": [True, True, False], "semantic": [True, True, True]})
    found = Teachers(built)(batch(given)).targets["clip"]
    whole = built.encode(batch(given), layers=[0, 1])
    for sample, present in enumerate([True, False, True]):
        if present:
            rows = whole.route.rows["rgb"][whole.route.kept["rgb"] // 6 == sample]
            states = [torch.nn.functional.layer_norm(state.x[rows], (16,)) for state in whole.layers]
            torch.testing.assert_close(found[sample], torch.stack(states).mean(0), rtol=1e-5, atol=1e-5)
        else:
            assert not found[sample].any()


def test_a_timm_teacher_gives_timms_own_features(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32).eval()
    save_file(network.state_dict(), tmp_path / "teacher.safetensors")
    rgb = RGB(size=32, patch=16)
    wide = {"type": "timm", "name": "vit_tiny_patch16_224", "weights": str(tmp_path / "teacher.safetensors")}
    # a table for 2 x 2 patches: timm refuses it for the model of 14 x 14, and the message says whose weights they are
    with pytest.raises(ConfigError, match="vit_tiny_patch16_224"):
        Teachers(model(entries=ModalitySet(rgb=rgb, clip=Features.model_validate({"of": "rgb", "teacher": wide}))))
    full = timm.create_model("vit_tiny_patch16_224", num_classes=0, dynamic_img_size=True).eval()
    save_file(full.state_dict(), tmp_path / "teacher.safetensors")
    built = model(entries=ModalitySet(rgb=rgb, clip=Features.model_validate({"of": "rgb", "teacher": wide})))
    pixels = torch.rand(2, 3, 32, 32)
    found = Teachers(built)(batch({"rgb": all_present(1)["rgb"].of(pixels)})).targets["clip"]
    with torch.no_grad():
        expected = full.forward_features((pixels - 0.5) / 0.5)[:, 1:]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_a_batch_without_the_teachers_features_is_refused_with_the_remedy() -> None:
    built = model(entries=entries(EMA))
    with pytest.raises(ValueError, match=r"'clip' is predicted from a teacher.*Teachers\(model\)\(batch\)"):
        built(batch(all_present(2)))
    done = built.reconstruct(batch(all_present(2)))  # for pictures they are not needed
    assert "clip" not in done.predicted
    assert "clip" not in done.losses


def test_any_callable_can_teach_from_python() -> None:
    built = model(entries=entries(EMA))
    given = batch(all_present(2))
    mine = {"clip": torch.randn(2, 6, 16)}
    output = built(type(given)(given.fields, given.keys, given.draw, targets=mine))
    assert float(output.losses["clip"].detach()) > 0


def test_teachers_that_cannot_be_had_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="timm has no model 'vit_tiny_patch17'"):
        model(entries=entries({"type": "timm", "name": "vit_tiny_patch17"}))
    with pytest.raises(ConfigError, match="at most 2 blocks, found 9"):
        Teachers(model(entries=entries({"type": "ema", "layers": 9})))
    deep = ModalitySet(**modality_set(), clip=Features.model_validate({"of": "depth", "teacher": TIMM}))
    with pytest.raises(ConfigError, match="three channels"):
        Teachers(model(entries=deep))
