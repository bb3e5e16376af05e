from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maetoolkit.data.collate import evaluation_batch
from maetoolkit.data.folder import Folder
from maetoolkit.data.loader import StepLoader
from maetoolkit.data.scenes import Scenes
from maetoolkit.errors import ConfigError, DataError
from maetoolkit.masking.dirichlet import Dirichlet
from maetoolkit.modalities import RGB, Depth, Semantic
from maetoolkit.modality import ModalitySet
from maetoolkit.tokens import Batch, map_tensors

MODALITIES = ModalitySet(
    rgb=RGB(size=32, patch=8), depth=Depth(size=16, patch=8), semantic=Semantic(num_classes=7, size=32, patch=8)
)
SOURCE = Scenes(size=32, num_train=10, num_validation=4)
SETTINGS = {"seed": 5, "batch": 4, "num_steps": 6}


def loader(**changes: object) -> StepLoader:
    samples = SOURCE.open(MODALITIES, "train")
    assert samples is not None
    settings = {"sampler": Dirichlet(num_visible=12).build(), "workers": 0, **SETTINGS, **changes}
    return StepLoader(samples, MODALITIES, SOURCE, **settings)  # type: ignore[arg-type]


def content(batches: list[Batch]) -> dict[str, bytes]:
    """Every tensor of every sample, by step-wide sample, so that batches of any cut can be compared."""
    rows: dict[str, bytes] = {}
    for batch in batches:
        assert batch.draw is not None
        for i, key in enumerate(batch.keys):
            parts: list[bytes] = []
            map_tensors(
                (batch.fields | {"plan": batch.plan}), lambda t, i=i, parts=parts: parts.append(t[i].numpy().tobytes())
            )
            rows[f"{batch.draw.epochs[i]} {key}"] = b"".join(parts)
    return rows


def run(**changes: object) -> list[dict[str, bytes]]:
    return [content(batches) for _, batches in loader(**changes)]


@pytest.fixture(scope="module")
def straight() -> list[dict[str, bytes]]:
    return run()


def test_steps_are_numbered_and_hold_the_micro_batches_of_the_rank() -> None:
    steps = list(loader(micro_batch=1, world=2, rank=1, start=2))
    assert [step for step, _ in steps] == [2, 3, 4, 5]
    assert all([len(b) for b in batches] == [1, 1] for _, batches in steps)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_no_bit(straight: list[dict[str, bytes]], workers: int) -> None:
    assert run(workers=workers, micro_batch=2) == straight


@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_micro_batches_change_no_bit(straight: list[dict[str, bytes]], micro_batch: int) -> None:
    assert run(micro_batch=micro_batch) == straight


@pytest.mark.parametrize("start", [1, 3, 5, 6])
def test_a_later_start_gives_the_same_steps(straight: list[dict[str, bytes]], start: int) -> None:
    assert run(start=start) == straight[start:]


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_divide_the_step_and_change_no_bit(straight: list[dict[str, bytes]], world: int) -> None:
    ranks = [run(rank=rank, world=world) for rank in range(world)]
    assert [{k: v for part in parts for k, v in part.items()} for parts in zip(*ranks, strict=True)] == straight


def test_another_seed_changes_order_crops_and_masks(straight: list[dict[str, bytes]]) -> None:
    assert all(a != b for a, b in zip(run(seed=6), straight, strict=True))


def test_every_sample_of_another_epoch_is_cropped_anew(straight: list[dict[str, bytes]]) -> None:
    rows = {name: value for step in straight for name, value in step.items()}
    again = [name for name in rows if name.startswith("1 ") and f"0 {name[2:]}" in rows]
    assert len(again) == 10
    assert all(rows[name] != rows[f"0 {name[2:]}"] for name in again)


def test_samplers_that_need_content_get_no_plan_here() -> None:
    sampler = Dirichlet(num_visible=12).build()
    sampler.needs_content = True
    batch = next(iter(loader(sampler=sampler)))[1][0]
    assert batch.plan is None
    assert batch.draw is not None


def test_progress_is_the_share_of_the_run_and_the_router_runs_beside_the_plan() -> None:
    seen = []
    plain = Dirichlet(num_visible=12).build()

    class Watched(type(plain)):  # type: ignore[misc]
        def __call__(self, layout, draw, progress=0.0, **rest):  # type: ignore[no-untyped-def]
            seen.append(progress)
            return super().__call__(layout, draw, progress, **rest)

    batches = [b for _, bs in loader(sampler=Watched(plain.settings), router=lambda plan: plan.visible) for b in bs]
    assert seen == [step / 6 for step in range(6)]
    assert set(batches[0].route) == {"rgb", "depth", "semantic"}  # type: ignore[arg-type]


def write(root: Path, keys: list[str]) -> None:
    for name, array in (("rgb", np.zeros((40, 48, 3), np.uint8)), ("depth", np.ones((40, 48), np.uint16))):
        (root / "train" / name).mkdir(parents=True, exist_ok=True)
        for key in keys:
            Image.fromarray(array).save(root / "train" / name / f"{key}.png")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_file_reaches_the_main_process_as_one_line(tmp_path: Path, workers: int) -> None:
    write(tmp_path, ["a", "b", "c"])
    path = tmp_path / "train/depth/b.png"
    path.write_bytes(path.read_bytes()[:60])
    modalities = ModalitySet(rgb=RGB(size=32), depth=Depth(size=32))
    source = Folder(root=str(tmp_path), workers=workers)
    samples = source.open(modalities, "train")
    assert samples is not None
    with pytest.raises(DataError) as caught:
        list(StepLoader(samples, modalities, source, seed=0, batch=3, num_steps=1))
    assert str(caught.value).startswith(str(path))
    assert "Traceback" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_absent_entries_are_flagged_in_the_batch(tmp_path: Path) -> None:
    write(tmp_path, ["a", "b", "c"])
    (tmp_path / "train/depth/b.png").unlink()
    modalities = ModalitySet(rgb=RGB(size=32), depth=Depth(size=32))
    source = Folder(root=str(tmp_path), missing="absent", workers=0)
    samples = source.open(modalities, "train")
    assert samples is not None
    batch = evaluation_batch(samples, modalities, [0, 1, 2])
    assert batch.fields["depth"].present.tolist() == [True, False, True]
    assert batch.fields["rgb"].present.all()
    sampler = Dirichlet(num_visible=3).build()
    _, batches = next(iter(StepLoader(samples, modalities, source, seed=0, batch=3, num_steps=1, sampler=sampler)))
    absent = batches[0].keys.index("b")
    assert not batches[0].plan.visible["depth"][absent].any()  # type: ignore[union-attr]


def test_evaluation_is_centred_unflipped_and_repeatable() -> None:
    samples = SOURCE.open(MODALITIES, "validation")
    assert samples is not None
    batch = evaluation_batch(samples, MODALITIES, [2, 0])
    assert batch.keys == ("validation/000002", "validation/000000")
    assert batch.plan is None
    raw = samples.read(2)["rgb"]
    np.testing.assert_array_equal(batch.fields["rgb"].values[0].numpy(), np.moveaxis(raw, -1, 0))  # type: ignore[arg-type]
    assert torch.equal(batch.fields["rgb"].values, evaluation_batch(samples, MODALITIES, [2, 0]).fields["rgb"].values)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_generators_are_left_alone(workers: int) -> None:
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    run(workers=workers)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # type: ignore[index]


def test_descriptions_of_sources_import_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, maetoolkit.data.folder, maetoolkit.data.scenes; assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_batches_that_do_not_divide_are_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="batch"):
        loader(world=3)


@pytest.mark.parametrize("flag", ["needs_content", "learns"])
def test_a_sampler_that_looks_at_content_or_changes_draws_no_plan_in_workers(flag: str) -> None:
    sampler = Dirichlet(num_visible=12).build()
    setattr(sampler, flag, True)
    batches = [batch for _, parts in loader(sampler=sampler, num_steps=1) for batch in parts]
    assert [batch.plan for batch in batches] == [None]
