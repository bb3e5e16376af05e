"""Four channels, any of them missing: no tokens, no cost, and a reconstruction that beats the mean."""

from __future__ import annotations

from itertools import chain, combinations
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from maetoolkit_volumes import Volume, VolumeLabels

from maetoolkit import load_recipe, pretrain
from maetoolkit.data.collate import evaluation_batch
from maetoolkit.data.folder import Folder
from maetoolkit.errors import DataError
from maetoolkit.evaluate.baselines import compare
from maetoolkit.masking.dirichlet import Dirichlet
from maetoolkit.masking.plan import Layout
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import JointDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.tokens import Field

CHANNELS = ("t1", "t1ce", "t2", "flair")
SUBSETS = list(chain.from_iterable(combinations(CHANNELS, num) for num in range(1, 5)))
SCAN = Volume(size=8, patch=4)


def ball(centre: np.ndarray, radii: np.ndarray, size: int) -> np.ndarray:
    """A soft ellipsoid: 1 inside, 0 outside."""
    places = np.indices((size,) * 3).reshape(3, -1).T
    distance = np.sqrt((((places - centre) / radii) ** 2).sum(1))
    return (1 / (1 + np.exp(8 * (distance - 1)))).reshape((size,) * 3)


def subject(number: int, size: int = 18) -> dict[str, np.ndarray]:
    """A head with a core and a lesion, which every channel shows with a contrast of its own, in a unit of its own."""
    draw = np.random.default_rng(number)
    middle = size / 2 - 0.5 + draw.uniform(-2, 2, 3)
    head = ball(middle, draw.uniform(5, 8, 3), size)
    core = ball(middle + draw.uniform(-1, 1, 3), draw.uniform(2, 4, 3), size)
    lesion = ball(middle + draw.uniform(-4, 4, 3), draw.uniform(2, 4, 3), size) * head
    shown = {
        "t1": 3 * head - 2 * core - 0.5 * lesion,
        "t1ce": 3 * head - 2 * core + 2 * lesion,
        "t2": 1.5 * head + 2 * core + lesion,
        "flair": 2 * head - 1.5 * core + 2 * lesion,
    }
    units = draw.uniform(10, 1e4, 4)
    return {name: (unit * scan).astype(np.float32) for unit, (name, scan) in zip(units, shown.items(), strict=True)}


def write(root: Path, split: str, numbers: range, missing: float = 0.0) -> None:
    for number in numbers:
        lacking = np.random.default_rng((number, 1)).random(4) < missing
        lacking[number % 4] = False
        for absent, (name, scan) in zip(lacking, subject(number).items(), strict=True):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            if not absent:
                nibabel.save(nibabel.Nifti1Image(scan, np.eye(4)), folder / f"subject{number:03}.nii.gz")


def model_of(modalities: ModalitySet, num_visible: int) -> MaskedAutoencoder:
    encoder, decoder = ViT(dim=24, depth=1, heads=2), JointDecoder(dim=24, depth=1, heads=2)
    return MaskedAutoencoder(modalities, encoder, decoder, Dirichlet(num_visible=num_visible))


@pytest.mark.parametrize("given", SUBSETS, ids="+".join)
def test_every_subset_of_the_channels_trains_and_what_is_missing_has_no_tokens(given: tuple[str, ...]) -> None:
    modalities = ModalitySet(**dict.fromkeys(CHANNELS, SCAN))
    model = model_of(modalities, num_visible=4)
    values = torch.rand(2, 1, 8, 8, 8)
    output = model({name: Field.of(values) for name in given})
    output.loss.backward()
    assert output.loss.isfinite()
    for name in CHANNELS:
        there = name in given
        assert output.plan.visible[name].any() <= there
        assert len(output.route.kept[name]) <= 2 * 8 * there
        assert (len(output.predictions[name]) > 0) <= there
        gradient = model.tokenizers[name].proj.weight.grad
        assert (gradient is not None and bool(gradient.any())) == bool(output.plan.visible[name].any())
    assert sum(int(flags.sum()) for flags in output.plan.visible.values()) == 2 * 4
    everything = model.predict({name: Field.of(values) for name in given})
    assert set(everything) == set(CHANNELS) - set(given)


def test_one_batch_mixes_samples_with_different_channels(tmp_path: Path) -> None:
    write(tmp_path, "train", range(8), missing=0.6)
    modalities = ModalitySet(**dict.fromkeys(CHANNELS, Volume(size=16, patch=8)))
    samples = Folder(root=str(tmp_path), missing="absent", validation=None).open(modalities, "train")
    assert samples is not None
    assert samples.key(0) == "subject000"
    rows = [samples.read(index) for index in range(8)]
    fields = {
        name: modality.collate([None if row[name] is None else row[name][None, :16, :16, :16] for row in rows])
        for name, modality in modalities.items()
    }
    layout = Layout.of(modalities, fields)
    there = np.stack([layout.present[name].sum(1) for name in CHANNELS], 1)
    expected = [[0 if row[name] is None else 8 for name in CHANNELS] for row in rows]
    assert there.tolist() == expected
    assert len({tuple(row) for row in expected}) > 2
    model = model_of(modalities, num_visible=6)
    output = model({**fields})
    output.loss.backward()
    assert output.route.segments.lengths == (6 + model.encoder.global_tokens.shape[1],) * 8


def test_volumes_of_unequal_shape_in_one_sample_are_refused_with_both_sizes(tmp_path: Path) -> None:
    for name, size in (("t1", (18, 18, 18)), ("t2", (18, 17, 18))):
        (tmp_path / "train" / name).mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(np.ones(size, np.float32), np.eye(4)), tmp_path / "train" / name / "a.nii.gz")
    modalities = ModalitySet(t1=SCAN, t2=SCAN)
    samples = Folder(root=str(tmp_path), validation=None).open(modalities, "train")
    with pytest.raises(DataError, match="sample 'a', t2: expected the size of t1, 18x18x18, found 18x17x18; resample"):
        evaluation_batch(samples, modalities, [0])


def test_labels_and_scans_of_one_sample_enter_one_model() -> None:
    modalities = ModalitySet(mri=SCAN, seg=VolumeLabels(size=8, patch=4, num_classes=3))
    model = model_of(modalities, num_visible=5)
    labels = torch.randint(0, 3, (2, 8, 8, 8))
    output = model({"mri": torch.rand(2, 1, 8, 8, 8), "seg": labels})
    output.loss.backward()
    assert set(output.losses) == {"mri", "seg"}
    wholes = model.predict({"mri": torch.rand(2, 1, 8, 8, 8)})
    assert wholes["seg"].shape == (2, 8, 8, 8)
    assert wholes["seg"].max() < 3


@pytest.mark.slow
def test_a_missing_channel_is_reconstructed_better_than_its_mean(tmp_path: Path) -> None:
    write(tmp_path, "train", range(96), missing=0.3)
    write(tmp_path, "val", range(1000, 1016))
    sizes = [f"modalities.{name}.{key}" for name in CHANNELS for key in ("size=16", "patch=8")]
    recipe = load_recipe(
        "mri-4channel",
        [
            *sizes,
            *("encoder.dim=96", "encoder.depth=2", "encoder.heads=4", "decoder.dim=48", "decoder.heads=4"),
            *("decoder.depth=1", "masking.num_visible=12", "epochs=null", "steps=350", "batch=16"),
            *("optimizer.lr=3.2e-2", "optimizer.warmup_epochs=null", "optimizer.warmup_steps=30"),
            *("checkpoint.every_epochs=null", "data.workers=0", "precision=fp32"),
            *(f"data.root={tmp_path}", f"run={tmp_path / 'run'}"),
        ],
    )
    run = pretrain(recipe)
    modalities = recipe.modality_set
    validation = recipe.data.open(modalities, "validation")
    for name in CHANNELS:
        others = [other for other in CHANNELS if other != name]
        found = compare(run.model.eval(), validation, modalities, run.samples, others, name)
        assert found["model"] < 0.8 * min(found["mean_image"], found["mean_map"])
