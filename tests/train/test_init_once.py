"""The weights a run starts from are needed to start it, and never again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from maetoolkit.errors import ConfigError
from maetoolkit.export.weights import export_weights
from maetoolkit.train.run import build_model, load_run, pretrain


@pytest.fixture(autouse=True)
def _no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maetoolkit.train.log._board", lambda directory, start: None)


def test_a_run_goes_on_when_the_file_it_started_from_is_gone(recipe: Callable[..., Any], tmp_path: Path) -> None:
    file = export_weights(build_model(recipe("seed=9")), tmp_path / "start.safetensors")
    start = f"encoder.init={file}"
    whole = pretrain(recipe(start, "steps=4", run="whole"))
    pretrain(recipe(start, "steps=4", "stop_after=2"))
    file.unlink()
    resumed = pretrain(recipe(start, "steps=4"))
    _, loaded = load_run(resumed.path)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
        assert torch.equal(loaded.state_dict()[name], value), name
    with pytest.raises(ConfigError, match=r"encoder\.init.*found nothing at"):
        pretrain(recipe(start, "steps=4", run="other"))
