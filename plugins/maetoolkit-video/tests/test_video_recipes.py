"""The recipes load, and train on files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from maetoolkit_video import maetoolkit_recipes

from maetoolkit import load_recipe, pretrain
from maetoolkit.train.log import read_log

TINY = ["steps=2", "batch=2", "encoder.depth=1", "data.workers=0", "optimizer.warmup_steps=1"]


def ball(number: int, num: int = 24, side: int = 48) -> np.ndarray:
    """Frames (T, H, W) uint8 of a ball that crosses the picture."""
    rows, columns = np.indices((side, side))
    places = np.random.default_rng(number).uniform(8, 40) + np.arange(num) * 0.5
    return np.stack([255 * ((rows - 24) ** 2 + (columns - p) ** 2 < 60) for p in places]).astype(np.uint8)


def write_video(path: Path, frames: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())


def test_video_small_trains_on_clips(tmp_path: Path) -> None:
    for number in range(4):
        write_video(tmp_path / "clips" / "all" / f"{number}.mp4", ball(number))
    sizes = ["modalities.video.size=[4,32,32]", "modalities.video.frame_stride=2", "data.validation=null"]
    run = pretrain(load_recipe("video-small", [*TINY, *sizes, f"data.root={tmp_path}", f"run={tmp_path / 'run'}"]))
    assert read_log(run.path / "log.jsonl")[-1]["loss/video"] > 0


def test_video_depth_small_trains_on_archives(tmp_path: Path) -> None:
    for split, number in [("train", 0), ("train", 1), ("val", 2)]:
        path = tmp_path / split / "depth_video" / "jog" / f"{number}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        depth = np.where(ball(number, 16) > 0, 2800, 0).astype(np.uint16)
        np.savez_compressed(path, depth=depth, frame=np.arange(16))
    sizes = ["modalities.video.size=[16,32,32]"]
    run = pretrain(
        load_recipe("video-depth-small", [*TINY, *sizes, f"data.root={tmp_path}", f"run={tmp_path / 'run'}"])
    )
    assert read_log(run.path / "log.jsonl")[-1]["loss/video"] > 0


@pytest.mark.parametrize("name", maetoolkit_recipes())
def test_a_recipe_survives_being_written(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    (tmp_path / "recipe.yaml").write_text(recipe.yaml())
    assert load_recipe(tmp_path / "recipe.yaml") == recipe
    assert recipe.description
