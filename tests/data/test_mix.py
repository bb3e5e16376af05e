"""Several sources in one run."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maetoolkit.data.folder import Folder
from maetoolkit.data.loader import StepLoader
from maetoolkit.data.mix import Mix
from maetoolkit.errors import ConfigError, DataError
from maetoolkit.masking import Share
from maetoolkit.modalities.image import RGB, Depth
from maetoolkit.modality import ModalitySet
from maetoolkit.train.recipe import load_recipe
from maetoolkit.train.run import pretrain

MODALITIES = ModalitySet(rgb=RGB(size=8, patch=4), depth=Depth(size=8, patch=4))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    def write(folder: str, num: int, deep: bool = False) -> None:
        (tmp_path / folder).mkdir(parents=True)
        for number in range(num):
            values = np.full((8, 8) if deep else (8, 8, 3), number + 1, np.uint16 if deep else np.uint8)
            Image.fromarray(values).save(tmp_path / folder / f"{number:02d}.png")

    write("paired/rgb", 6)
    write("paired/depth", 6, deep=True)
    write("colour/rgb", 5)
    write("deep/depth", 40, deep=True)
    return tmp_path


def folder(root: Path, name: str, **others: Any) -> dict[str, Any]:
    return {"type": "folder", "root": str(root / name), "split": None, "validation": None, **others}


@pytest.fixture
def mix(root: Path) -> Callable[..., Mix]:
    def made(**others: Any) -> Mix:
        parts = {
            "paired": {"source": folder(root, "paired"), "share": 2.0},
            "colour": {"source": folder(root, "colour"), "share": 3.0, "entries": ["rgb"]},
            "deep": {"source": folder(root, "deep"), "share": 1.0, "weight": 0.5, "entries": ["depth"]},
        }
        return Mix.model_validate({"sources": parts, **others})

    return made


def test_an_epoch_is_one_pass_over_the_first_source_and_the_others_by_their_shares(mix: Callable[..., Mix]) -> None:
    samples = mix().open(MODALITIES, "train")
    assert samples is not None
    assert (len(samples), samples.num_per_epoch) == (51, 6 + 9 + 3)
    seen: Counter[str] = Counter()
    for epoch in range(40):
        keys = [samples.key(index) for _, index in samples.places(3, epoch).tolist()]
        assert Counter(key.split("/")[0] for key in keys) == {"paired": 6, "colour": 9, "deep": 3}
        seen.update(keys)
    counts = {name: {seen[key] for key in seen if key.startswith(name)} for name in ("paired", "colour", "deep")}
    assert counts == {"paired": {40}, "colour": {72}, "deep": {3}}  # every source goes on where its last epoch stopped


def test_a_sample_that_comes_twice_in_an_epoch_of_the_mix_is_in_another_epoch_of_its_own(
    mix: Callable[..., Mix],
) -> None:
    samples = mix().open(MODALITIES, "train")
    assert samples is not None
    places = [tuple(place) for epoch in range(5) for place in samples.places(0, epoch).tolist()]
    assert len(set(places)) == len(places)


def test_what_a_source_lacks_is_absent_and_its_loss_is_weighted(mix: Callable[..., Mix]) -> None:
    source = mix(workers=0)
    samples = source.open(MODALITIES, "train")
    assert samples is not None
    loader = StepLoader(samples, MODALITIES, source, seed=1, batch=18, sampler=Share().build(), num_steps=1)
    (_, (batch,)) = next(iter(loader))
    assert batch.weight is not None
    for number, key in enumerate(batch.keys):
        part = key.split("/")[0]
        there = {name: bool(batch.fields[name].present[number]) for name in MODALITIES}
        assert there == {"rgb": part != "deep", "depth": part != "colour"}
        assert float(batch.weight[number]) == (0.5 if part == "deep" else 1.0)


def test_samples_of_a_mix_can_be_sent_to_workers(mix: Callable[..., Mix]) -> None:
    samples = mix().open(MODALITIES, "train")
    copy = pickle.loads(pickle.dumps(samples))
    assert np.array_equal(samples.places(0, 1), copy.places(0, 1))
    assert copy.key(50) == samples.key(50) == "deep/39"


def test_a_recipe_takes_a_mix_and_gives_it_back(root: Path) -> None:
    settings = {
        "steps": 1,
        "modalities": {name: modality.model_dump(mode="json") for name, modality in MODALITIES.items()},
        "masking": {"type": "share"},
        "data": {"type": "mix", "sources": {"a": {"source": folder(root, "paired"), "weight": 2.0}}},
    }
    recipe = load_recipe(settings)
    assert load_recipe(recipe.document()) == recipe
    hash(recipe.data)
    with pytest.raises(ConfigError, match=r"data.sources.a.source.root: .*found 7"):
        load_recipe(settings, ["data.sources.a.source.root=7"])
    with pytest.raises(ConfigError, match=r"holds for the whole mix; set data.flip instead"):
        load_recipe(settings, ["data.sources.a.source.flip=0.1"])
    with pytest.raises(
        ConfigError, match=r"data.sources.a.entries: no modality 'text' with data; there are: rgb, depth"
    ):
        load_recipe(settings, ["data.sources.a.entries=[text]"])


def test_errors_of_a_source_name_it(mix: Callable[..., Mix], root: Path) -> None:
    with pytest.raises(DataError, match=r"data.sources.a: .*does not exist"):
        Mix.model_validate({"sources": {"a": {"source": folder(root, "nowhere")}}}).open(MODALITIES, "train")


def test_a_share_of_the_samples_keeps_an_entry_whatever_the_epoch(root: Path) -> None:
    source = Mix.model_validate(
        {"sources": {"deep": {"source": folder(root, "deep", keep={"depth": 0.3}), "entries": ["depth"]}}}
    )
    samples = source.open(MODALITIES, "train")
    assert samples is not None
    kept = [samples.read(index)["depth"] is not None for index in range(40)]
    assert kept == [samples.read(index)["depth"] is not None for index in range(40)]
    assert 5 <= sum(kept) <= 19
    more = source.sources[0][1].source.replace(keep={"depth": 0.6})
    assert all(
        more.kept({"depth": 1}, f"{i:02d}")["depth"] for i in range(40) if kept[i]
    )  # larger shares add to smaller


def test_a_source_may_hold_inputs_alone_or_targets_beside_an_input(root: Path) -> None:
    modalities = ModalitySet(rgb=RGB(size=8, patch=4, role="input"), depth=Depth(size=8, patch=4, role="target"))
    parts = {
        "paired": {"source": folder(root, "paired")},
        "colour": {"source": folder(root, "colour"), "entries": ["rgb"]},
    }
    source = Mix.model_validate({"sources": parts})
    source.check(modalities)
    samples = source.open(modalities, "train")
    assert samples is not None
    assert samples.read(6)["depth"] is None
    with pytest.raises(ConfigError, match=r"sources.deep.entries: expected at least one input \(rgb\), found none"):
        Mix.model_validate({"sources": {"deep": {"source": folder(root, "deep"), "entries": ["depth"]}}}).check(
            modalities
        )


def test_a_run_is_not_resumed_where_a_source_of_its_mix_has_changed_size(
    root: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("maetoolkit.train.log._board", lambda directory, start: None)
    parts = {"a": {"source": folder(root, "paired")}, "b": {"source": folder(root, "deep"), "entries": ["depth"]}}
    settings = {
        "run": str(tmp_path / "run"),
        "steps": 4,
        "batch": 2,
        "modalities": {name: modality.model_dump(mode="json") for name, modality in MODALITIES.items()},
        "masking": {"type": "share"},
        "encoder": {"type": "vit", "dim": 16, "depth": 1, "heads": 2},
        "decoder": {"type": "cross", "dim": 16, "depth": 1, "heads": 2},
        "data": {"type": "mix", "sources": parts, "workers": 0},
    }
    pretrain(load_recipe(settings, ["stop_after=2"]))
    (root / "deep/depth/00.png").unlink()
    with pytest.raises(DataError, match=r"was trained on 6 \+ 40 samples, the data set now has 6 \+ 39"):
        pretrain(load_recipe(settings))


def test_not_every_input_may_be_dropped_from_some_samples(root: Path) -> None:
    source = Folder.model_validate(folder(root, "paired", keep={"rgb": 0.5, "depth": 0.9}))
    with pytest.raises(ConfigError, match=r"keep: every input \(rgb, depth\) would be dropped from some samples"):
        source.check(MODALITIES)
    source.replace(keep={"rgb": 0.5}).check(MODALITIES)
