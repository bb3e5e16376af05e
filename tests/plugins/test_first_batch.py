"""What a plugin gets wrong at training time is one named error before the first step."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from plugin_entries import Entry, module
from torch import nn

from maetoolkit.data.scenes import Scenes
from maetoolkit.data.source import Samples
from maetoolkit.errors import ConfigError, DataError
from maetoolkit.masking.plan import MaskPlan
from maetoolkit.masking.share import Share
from maetoolkit.modalities.image import RGB
from maetoolkit.model.decoder import CrossDecoder
from maetoolkit.tokens import Field
from maetoolkit.train.first_batch import check_first_batch
from maetoolkit.train.recipe import load_recipe
from maetoolkit.train.run import Run, build_model, pretrain
from maetoolkit.train.trial import Subject

TINY = {"size": 16, "patch": 8}


class Bad(RGB):
    type: Literal["bad"] = "bad"


def breaking(base, **methods):
    """A class in which some methods are others; each is called with `wrong(self, right, *given)`."""
    changes: dict[str, Any] = {}
    for name, wrong in methods.items():
        changes[name] = method(getattr(base, name), wrong)
    return type(base.__name__, (base,), {"__module__": __name__, **changes})


def method(right, wrong):
    return lambda self, *given: wrong(self, lambda *other: right(self, *(other or given)), *given)


def settings(tmp_path, **sections):
    return {
        "run": str(tmp_path / "run"),
        "steps": 1,
        "batch": 4,
        "modalities": {"rgb": {"type": "rgb", **TINY}, "other": {"type": "bad", **TINY}},
        "masking": {"type": "share", "ratio": 0.5},
        "encoder": {"dim": 16, "depth": 1, "heads": 2},
        "decoder": {"type": "cross", "dim": 16, "depth": 1, "heads": 2},
        "data": {"size": 16, "num_train": 4, "num_validation": 2, "workers": 0, "streams": {"other": "rgb"}},
        "optimizer": {"warmup_steps": 1},
        **sections,
    }


def train(install, tmp_path, kind="modalities", cls=Bad, **sections):
    name = cls.model_fields["type"].default
    install([Entry("mine", lambda: module(**{f"maetoolkit_{kind}": lambda: {name: cls}}), "my-dist", "0.3")])
    return pretrain(load_recipe(settings(tmp_path, **sections)))


def spoilt(array):
    array.setflags(write=True)
    array[...] = 0
    return array


def spoil(value):
    value.zero_()
    return value


MODALITIES = {
    "transform 2": (lambda self, right, value, geometry: right(spoilt(value), geometry), "transform changed what it w"),
    "transform": (lambda self, right, *_: None, "transform returned None; expected the value at its declared size"),
    "frame": (lambda self, right, value: 3, "frame returned a int; expected (height, width), or None"),
    "collate": (lambda self, right, *_: None, "collate returned None; expected a Field of tensors"),
    "collate 2": (
        lambda self, right, values: Field(torch.zeros(9, 3, 16, 16), torch.ones(9, dtype=torch.bool)),
        "collate returned float32 (9, 3, 16, 16); expected a Field whose `values` begin with the 4 samples",
    ),
    "collate 3": (
        lambda self, right, values: Field(right().values, torch.ones(4)),
        "collate returned float32 (4,); expected a Field whose `present` is bool (4,) or (4, tokens)",
    ),
    "collate 4": (
        lambda self, right, values: Field(right().values, torch.zeros(4, dtype=torch.bool)),
        "expected `present` True for what is given and False for None, [True, True, True, True]",
    ),
    "layout": (lambda self, right, *_: 4, "layout returned a int; expected (grid or None, number of tokens)"),
    "prepare": (lambda self, right, *_: None, "prepare returned None; expected a Field of tensors"),
    "prepare 2": (
        lambda self, right, field: Field(spoil(field.values), field.present),
        "prepare changed what it was given in place; expected something new",
    ),
    "patchify": (lambda self, right, *_: None, "patchify returned None; expected Patches of tensors"),
    "patchify 2": (
        lambda self, right, field: replaced(right(), values=right().values[:, :3]),
        "patchify returned float32 (4, 3, 3, 8, 8); expected Patches whose `values` are (4, 4, 3, 8, 8): samples, "
        "tokens as `layout` says, `content`",
    ),
    "patchify 3": (
        lambda self, right, field: replaced(right(), present=right().present.float()),
        "patchify returned float32 (4, 4); expected Patches whose `present` is bool (4, 4)",
    ),
    "patchify 4": (
        lambda self, right, field: replaced(right(), present=~right().present),
        "expected Patches with the same tokens `present` as in the field",
    ),
    "patchify 5": (
        lambda self, right, field: replaced(right(), positions=right().positions[:, 0]),
        "patchify returned int64 (4, 2); expected Patches whose `positions` are (4, 4, axes)",
    ),
    "patchify 6": (
        lambda self, right, field: replaced(right(), valid=torch.ones(4, 4, 5, dtype=torch.bool)),
        "expected a Patches whose `valid` is None or bool that broadcasts to float32 (4, 4, 3, 8, 8)",
    ),
    "patchify 7": (
        lambda self, right, field: replaced(right(), grid=(4, 1)),
        "patchify returned (a int, a int); expected Patches whose `grid` is that of `layout`, (2, 2)",
    ),
    "patchify 8": (lambda self, right, field: field[0], "patchify failed with TypeError (test_first_batch.py:"),
    "build_tokenizer": (lambda self, right, dim: None, "build_tokenizer returned None; expected a torch module"),
    "build_tokenizer 2": (
        lambda self, right, dim: nn.Flatten(),
        "the module of build_tokenizer returned float32 (16, 192); expected floats (16, 16): tokens, width of the enco",
    ),
    "build_tokenizer 3": (
        lambda self, right, dim: nn.Linear(7, dim),
        "the module of build_tokenizer failed with Runti",
    ),
    "build_position": (
        lambda self, right, dim, side: NoGrid(dim),
        "the module of build_position failed with TypeError",
    ),
    "build_head": (
        lambda self, right, dim, content: nn.Sequential(nn.Linear(dim, 3), nn.Flatten(0)),
        "the module of build_head returned float32 (48,); expected floats that begin with the 16 tokens",
    ),
    "build_head 2": (
        lambda self, right, dim, content: nn.Linear(dim, 5),
        "token_loss failed with RuntimeError (",
    ),
    "build_head 4": (lambda self, right, *_: None, "build_head returned None; expected a torch module"),
    "build_head 3": (
        lambda self, right, dim, content: 1 / 0,
        "build_head failed with ZeroDivisionError (test_first_batch.py:",
    ),
    "target": (lambda self, right, values: None, "target returned None; expected a tensor that begins with the 16 to"),
    "target 2": (
        lambda self, right, values: values.sub_(1),
        "target changed what it was given in place; expected something new",
    ),
    "token_loss": (lambda self, right, *_: None, "token_loss returned None; expected (sum, count), both float32 (16,)"),
    "token_loss 2": (
        lambda self, right, *_: right()[0].mean(),
        "token_loss returned float32 (); expected (sum, count), both float32 (16,): one of each per token",
    ),
    "token_loss 3": (
        lambda self, right, *_: (right()[0], right()[1].long()),
        "token_loss returned (float32 (16,), int64 (16,)); expected (sum, count), both float32 (16,)",
    ),
    "token_loss 4": (
        lambda self, right, *_: (right()[0].detach(), right()[1]),
        "token_loss returned a sum without gradient; expected one that depends on the prediction",
    ),
    "token_loss 5": (
        lambda self, right, prediction, target, valid: right(prediction, spoil(target), valid),
        "token_loss changed what it was given in place",
    ),
}


def replaced(patches, **changes):
    from dataclasses import replace

    return replace(patches, **changes)


class NoGrid(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim))

    def forward(self, positions):
        return self.weight.expand(len(positions), -1)


@pytest.mark.parametrize("name", MODALITIES)
def test_a_modality_that_breaks_its_contract_is_named_with_method_expectation_and_owner(install, tmp_path, name):
    wrong, message = MODALITIES[name]
    cls = breaking(Bad, **{name.split()[0]: wrong})
    with pytest.raises(ConfigError) as caught:
        train(install, tmp_path, cls=cls)
    told = str(caught.value)
    assert told.startswith("modalities.other (Bad of plugin 'mine' (my-dist 0.3)): "), told
    assert message in told
    assert told.endswith(". `maetool plugins check mine` says more")
    assert "\n" not in told
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_a_count_of_its_own_is_refused_where_it_is_another_than_that_of_the_loss(install, tmp_path):
    wrong = breaking(Bad, token_loss=lambda self, right, *_: (right()[0], right()[1] + 1))
    with pytest.raises(
        ConfigError, match="token_count returned another one; expected the count that token_loss returns"
    ):
        train(install, tmp_path, cls=wrong)


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
