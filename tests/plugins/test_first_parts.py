"""What a plugin's sampler, source or decoder gets wrong is one named error before the first step."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from faulty import TINY, Bad, settings, train
from plugin_entries import Entry, module
from torch import nn

from maetoolkit.data.scenes import Scenes
from maetoolkit.data.source import Samples
from maetoolkit.errors import ConfigError, DataError
from maetoolkit.masking.plan import MaskPlan
from maetoolkit.masking.share import Share
from maetoolkit.model.decoder import CrossDecoder
from maetoolkit.train.first_batch import check_first_batch
from maetoolkit.train.recipe import load_recipe
from maetoolkit.train.run import Run, build_model
from maetoolkit.train.trial import Subject


class Masks(Share):
    type: Literal["masks"] = "masks"
    fault: str = ""

    def build(self):
        if self.fault == "build":
            return None
        right = super().build()
        return Faulty(right, self.fault)


class Faulty(type(Share().build())):
    def __init__(self, right, fault):
        self.__dict__.update(right.__dict__)
        self.fault = fault

    def __call__(self, layout, *given, **named):
        plan = super().__call__(layout, *given, **named)
        if self.fault == "layout":
            next(iter(layout.present.values()))[:] = False
        return {
            "none": None,
            "layout": plan,
            "names": MaskPlan({}, plan.target),
            "shape": MaskPlan({name: flags[:, :2] for name, flags in plan.visible.items()}, plan.target),
            "dtype": MaskPlan({name: flags.float() for name, flags in plan.visible.items()}, plan.target),
        }[self.fault]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("none", "the sampler returned None; expected a MaskPlan"),
        ("names", "the sampler returned nothing; expected flags in `visible` for rgb"),
        ("layout", "the sampler changed what it was given in place"),
        ("shape", "must be bool of shape (4, 4), found torch.bool of shape (4, 2)"),
        ("dtype", "must be bool of shape (4, 4), found torch.float32 of shape (4, 4)"),
    ],
)
def test_a_sampler_that_breaks_its_contract_is_named(install, tmp_path, fault, message):
    sections = {"modalities": {"rgb": {"type": "rgb", **TINY}}, "data": {"size": 16, "num_train": 4, "workers": 0}}
    with pytest.raises(ConfigError) as caught:
        train(install, tmp_path, "samplers", Masks, masking={"type": "masks", "fault": fault}, **sections)
    assert str(caught.value).startswith("masking (Masks of plugin 'mine' (my-dist 0.3)): the sampler ")
    assert message in str(caught.value)


class Camera(Scenes):
    type: Literal["camera"] = "camera"
    fault: str = ""

    def open(self, modalities, subset):
        return Taken(super().open(modalities, subset), self.fault)


class Taken(Samples):
    def __init__(self, samples, fault):
        self.samples, self.fault = samples, fault

    def __len__(self):
        return len(self.samples)

    def key(self, index):
        return index if self.fault == "key" else self.samples.key(index)

    def read(self, index):
        values = self.samples.read(index)
        if self.fault == "data":
            raise DataError("camera.bin: cut short at byte 3")
        if self.fault == "crash":
            raise OSError("no such device")
        return {"none": None, "names": {"lidar": np.zeros(3)}, "key": values}[self.fault]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("key", "key returned a int; expected the name of a sample"),
        ("none", "read returned None; expected values by entry (rgb), None where one is absent"),
        ("names", "read returned lidar; expected values by entry (rgb)"),
        ("crash", "read failed with OSError"),
    ],
)
def test_a_source_that_breaks_its_contract_is_named(install, tmp_path, fault, message):
    data = {"type": "camera", "fault": fault, "size": 16, "num_train": 4, "workers": 0}
    with pytest.raises(ConfigError) as caught:
        train(install, tmp_path, "sources", Camera, data=data, modalities={"rgb": {"type": "rgb", **TINY}})
    assert str(caught.value).startswith("data (Camera of plugin 'mine' (my-dist 0.3)): ")
    assert message in str(caught.value)


def test_bad_data_stays_the_datas_fault(install, tmp_path):
    data = {"type": "camera", "fault": "data", "size": 16, "num_train": 4, "workers": 0}
    with pytest.raises(DataError, match=r"^camera.bin: cut short at byte 3$"):
        train(install, tmp_path, "sources", Camera, data=data, modalities={"rgb": {"type": "rgb", **TINY}})


class Deaf(CrossDecoder):
    type: Literal["deaf"] = "deaf"
    fault: str = ""

    def build(self, modalities, encoder_dim):
        return None if self.fault == "build" else Silent(super().build(modalities, encoder_dim), self.fault)


class Silent(nn.Module):
    def __init__(self, right, fault):
        super().__init__()
        self.right, self.fault, self.dim = right, fault, right.dim

    def forward(self, *given):
        features = self.right(*given)
        return {"none": None, "rows": {name: value[1:] for name, value in features.items()}}[self.fault]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("build", "build returned None; expected a torch module"),
        ("none", "the decoder returned None; expected features by output (rgb)"),
        ("rows", "the decoder returned float32 (7, 16); expected for rgb, floats (8, 16): target tokens, `dim`"),
    ],
)
def test_a_decoder_that_breaks_its_contract_is_named(install, tmp_path, fault, message):
    sections = {"modalities": {"rgb": {"type": "rgb", **TINY}}, "data": {"size": 16, "num_train": 4, "workers": 0}}
    decoder = {"type": "deaf", "fault": fault, "dim": 16, "depth": 1, "heads": 2}
    with pytest.raises(ConfigError) as caught:
        train(install, tmp_path, "decoders", Deaf, decoder=decoder, **sections)
    assert str(caught.value).startswith("decoder (Deaf of plugin 'mine' (my-dist 0.3)): ")
    assert message in str(caught.value)


def test_a_good_plugin_passes_and_nothing_of_the_run_has_changed(install, tmp_path):
    from maetoolkit.model.teacher import Teachers
    from maetoolkit.train.run import open_samples
    from maetoolkit.train.schedule import Schedule

    install([Entry("mine", lambda: module(maetoolkit_modalities=lambda: {"bad": Bad}))])
    recipe = load_recipe(settings(tmp_path))
    samples, model = open_samples(recipe), build_model(recipe)
    run = Run(tmp_path, recipe, model, samples, Schedule.of(recipe, len(samples)), Teachers(model))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, training = torch.get_rng_state(), model.training
    check_first_batch(run)
    assert torch.equal(state, torch.get_rng_state())
    assert model.training == training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_class_that_nobody_registered_has_no_owner_and_no_advice():
    subject = Subject("modalities.other", "modalities", Bad(**TINY))
    with pytest.raises(ConfigError, match=r"^modalities.other \(Bad\): patchify returned None; expected Patches$"):
        subject.expect("patchify", False, "Patches", None)
