"""A run owns its teachers: saved beside the student, restored with it, known again where they are frozen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from maetoolkit.errors import DataError
from maetoolkit.train.run import load_run, pretrain

EMA = "modalities.own={type: features, of: rgb, score: all, teacher: {type: ema, momentum: 0.9, layers: 2}}"


@pytest.fixture(autouse=True)
def _no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maetoolkit.train.log._board", lambda directory, start: None)


def test_an_average_of_the_student_is_resumed_to_the_bit(recipe: Callable[..., Any]) -> None:
    straight = pretrain(recipe(EMA, "steps=10", run="straight"))
    pretrain(recipe(EMA, "steps=10", "stop_after=5"))
    resumed = pretrain(recipe(EMA, "steps=10"))
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    mine, theirs = resumed.teachers.state(), straight.teachers.state()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_the_student_is_saved_without_its_teachers(recipe: Callable[..., Any]) -> None:
    run = pretrain(recipe(EMA, "steps=5"))
    folder = run.checkpoints / "step-5"
    student = load_file(folder / "model.safetensors")
    assert student.keys() == run.model.state_dict().keys()
    assert not any("student" in name for name in student)
    assert all(name.startswith("own/student.") for name in load_file(folder / "teachers.safetensors"))
    assert {name.partition("/")[0] for name in load_file(folder / "optimizer.safetensors")} <= dict(
        run.model.named_parameters()
    ).keys()
    _, model = load_run(run.path)
    assert "own" in model.heads


def test_a_frozen_teacher_with_other_weights_is_refused_on_resume(recipe: Callable[..., Any], tmp_path: Path) -> None:
    def teacher(seed: int) -> None:
        torch.manual_seed(seed)
        network = timm.create_model("vit_tiny_patch16_224", num_classes=0)
        save_file(network.state_dict(), tmp_path / "teacher.safetensors")

    settings = f"{{type: timm, name: vit_tiny_patch16_224, weights: {tmp_path / 'teacher.safetensors'}}}"
    override = f"modalities.clip={{type: features, of: rgb, teacher: {settings}}}"
    teacher(0)
    pretrain(recipe(override, "steps=4", "stop_after=2", "checkpoint.every=2", "batch=4"))
    teacher(1)
    with pytest.raises(DataError, match=r"the teacher of 'clip' has other weights than when this run began.*run=DIR"):
        pretrain(recipe(override, "steps=4", "checkpoint.every=2", "batch=4"))
    teacher(0)
    assert pretrain(recipe(override, "steps=4", "checkpoint.every=2", "batch=4")).finished
