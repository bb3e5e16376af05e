from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maetoolkit.errors import ConfigError
from maetoolkit.plugins import registry
from maetoolkit.train.document import parse, read_document
from maetoolkit.train.recipe import Recipe, load_recipe, schema

SMALL = {
    "steps": 10,
    "modalities": {"rgb": {"type": "rgb", "size": 64, "patch": 8}, "depth": {"type": "depth", "size": 64, "patch": 8}},
    "masking": {"num_visible": 20},
}


@pytest.mark.parametrize(
    ("overrides", "key", "parts"),
    [
        (["stepz=3"], "stepz", ["unknown key", "did you mean steps?"]),
        (["masking.nm_visible=3"], "masking.nm_visible", ["unknown key", "did you mean num_visible?"]),
        (["optimizer.lrr=3"], "optimizer.lrr", ["did you mean lr?", "weight_decay"]),
        (["modalities.depht.size=64"], "modalities.depht", ["did you mean depth?"]),
        (["modalities.rgb.ptch=4"], "modalities.rgb.ptch", ["did you mean patch?"]),
        (["modalities.rgb.type=rbg"], "modalities.rgb.type", ["unknown modality 'rbg'", "did you mean 'rgb'?"]),
        (["masking.type=shares"], "masking.type", ["did you mean 'share'?"]),
        (["data.type=foldr"], "data.type", ["unknown source", "did you mean 'folder'?"]),
        (["encoder.type=vitt"], "encoder.type", ["unknown encoder", "did you mean 'vit'?"]),
        (["steps=1.5"], "steps", ["found 1.5", "expected a whole number"]),
        (["steps=0"], "steps", ["found 0", "above 0"]),
        (["seed=true"], "seed", ["found true", "expected a number"]),
        (["batch='64'"], "batch", ['found "64"', "without quotes"]),
        (["compile=no"], "compile", ['found "no"', "expected true or false"]),
        (["optimizer.lr=.nan"], "optimizer.lr", ["found NaN", "finite"]),
        (["optimizer.lr=.inf"], "optimizer.lr", ["finite"]),
        (["optimizer.lr=-1"], "optimizer.lr", ["found -1", "above 0"]),
        (["optimizer.betas=[0.9]"], "optimizer.betas", ["found [0.9]"]),
        (["optimizer=3"], "optimizer", ["found 3", "mapping"]),
        (["precision=fp16"], "precision", ['found "fp16"', "fp32 or bf16"]),
        (["masking.type=share", "masking.ratio=2"], "masking.ratio", ["found 2", "at most 1"]),
        (["masking.num_visible=2000"], "masking.num_visible", ["128", "found 2000", "rgb 64"]),
        (["masking.alpha={rgb: 1, dpth: 1}"], "masking.alpha.dpth", ["did you mean 'depth'?"]),
        (["masking.type=share", "masking.ratios={dpth: 0.1}"], "masking.ratios.dpth", ["did you mean 'depth'?"]),
        (["objective.weights={rgbb: 1}"], "objective.weights.rgbb", ["did you mean 'rgb'?"]),
        (["decoder.fp32=[dept]"], "decoder.fp32", ["did you mean depth?"]),
        (["data.streams={dept: x}"], "data.streams.dept", ["did you mean 'depth'?"]),
        (["modalities.depth.patch=7"], "modalities.depth", ["patch 7 does not divide size 64"]),
        (["modalities.rgb.size=[64, a]"], "modalities.rgb.size.1", ['found "a"', "whole number"]),
        (["modalities.s={type: standardized_rgb, of: rbg}"], "modalities.s.of", ["'rbg'", "did you mean 'rgb'?"]),
        (["modalities.self={type: rgb}"], "modalities.self", ["cannot be a name"]),
        (["encoder.heads=5"], "encoder.heads", ["5 does not divide dim 768"]),
        (["batch=64", "micro_batch=48"], "micro_batch", ["found 48", "divisor of batch (64)", "32"]),
        (["steps=2", "epochs=2"], "steps", ["found both"]),
        (["steps=null"], "", ["found neither"]),
        (["optimizer.warmup_steps=1", "optimizer.warmup_epochs=1"], "optimizer.warmup_steps", ["found both"]),
        (["modalities=null"], "modalities", ["found null", "types are: rgb"]),
        (["modalities.rgb=null", "modalities.depth.role=target"], "modalities", ["none is given to the encoder"]),
        (["data.type=folder"], "data.root", ["missing"]),
        (["masking.alpha=-1"], "masking.alpha", ["found -1", "a number above 0 or inf or a mapping (key: value)"]),
        (["masking.alpha=[1, 2]"], "masking.alpha", ["found [1, 2]", "a mapping (key: value)"]),
        (["masking.alpha=.inf"], "masking.alpha", ["write inf"]),
        (["data.type=folder", "data.root=x", "data.streams=3"], "data.streams", ["found 3", "a mapping (key: value)"]),
        (["modalities.rgb.size=64.5"], "modalities.rgb.size", ["found 64.5", "expected a whole number"]),
        (["modalities.rgb.size=true"], "modalities.rgb.size", ["found true"]),
        (["modalities.items={type: rgb}"], "modalities.items", ["cannot be a name", "torch"]),
        (["encoder.dim=30", "encoder.heads=3"], "encoder.dim", ["multiple of 4", "28 or 32", "found 30"]),
        (["decoder.dim=18", "decoder.heads=2"], "decoder.dim", ["multiple of 4", "16 or 20", "found 18"]),
    ],
)
def test_a_mistake_is_told_with_place_key_finding_and_expectation(overrides, key, parts):
    with pytest.raises(ConfigError) as caught:
        load_recipe(SMALL, overrides)
    message = str(caught.value)
    assert key in message
    for part in parts:
        assert part in message
    assert "\n" not in message
    assert "Traceback" not in message


def test_a_mistake_in_a_file_is_told_with_file_and_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: quickstart\n\noptimizer:\n  lr: fast\nmodalities:\n  depth: {ptch: 8}\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    lines = str(caught.value).splitlines()
    assert sorted(lines) == sorted(set(lines))
    assert any(line.startswith(f'{path}:4: optimizer.lr: found "fast"; expected a number') for line in lines)
    assert any(line.startswith(f"{path}:6: modalities.depth.ptch: unknown key; did you mean patch?") for line in lines)


@pytest.mark.parametrize(
    ("overrides", "blamed"),
    [
        (["modalities.rgb.patch=7"], "command line: modalities.rgb.patch=7: modalities.rgb: patch 7"),
        (
            ["modalities.rgb.patch=7", "modalities.rgb.loss=l1"],
            "command line: modalities.rgb.patch=7: modalities.rgb: ",
        ),
        (["encoder.dim=30"], "command line: encoder.dim=30: encoder.heads: 4 does not divide dim 30"),
        (["modalities.depth.size=64"], "mine.yaml:3: modalities.rgb: patch 9"),
    ],
)
def test_an_override_that_broke_a_section_is_blamed_rather_than_the_file(overrides, blamed, tmp_path):
    path = tmp_path / "mine.yaml"
    patch = 9 if "mine.yaml" in blamed else 8
    path.write_text(f"base: quickstart\nmodalities:\n  rgb: {{patch: {patch}}}\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, overrides)
    assert blamed in str(caught.value)


def test_all_problems_are_told_in_one_screen():
    with pytest.raises(ConfigError) as caught:
        load_recipe(SMALL, [f"unknown{n}=1" for n in range(50)])
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "... and 30 more"


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'quickstart'"):
        load_recipe("quikstart")


def test_overrides_take_effect_whatever_their_order():
    share = ["masking.type=share", "masking.ratio=0.5"]
    assert load_recipe(SMALL, share).masking == load_recipe(SMALL, share[::-1]).masking
    assert load_recipe(SMALL, ["steps=1", "steps=2"]).steps == 2


def test_epochs_replace_the_steps_of_the_recipe():
    recipe = load_recipe(SMALL, ["epochs=3"])
    assert (recipe.steps, recipe.epochs) == (None, 3)


def test_an_encoder_by_name_replaces_one_by_numbers_and_survives_being_written():
    recipe = load_recipe("quickstart", ["encoder.name=vit_tiny_patch16_224"])
    assert recipe.encoder.name == "vit_tiny_patch16_224"
    assert recipe.name == "quickstart"
    assert load_recipe(recipe.document()) == recipe
    assert load_recipe(recipe.document(), ["encoder.dim=96"]).encoder.name is None


def test_removing_a_modality_removes_what_is_said_of_it():
    recipe = load_recipe("multimae-vit-b", ["modalities.semantic=null"])
    assert list(recipe.modalities) == ["rgb", "depth", "rgb_std"]
    assert recipe.decoder.fp32 == ()
    assert dict(recipe.data.streams) == {}
    assert list(load_recipe("multimae-vit-b", ["modalities.rgb=null"]).modalities) == ["depth", "semantic"]


def test_a_base_is_found_by_name_and_beside_the_file(tmp_path):
    (tmp_path / "a.yaml").write_text("base: quickstart\nsteps: 5\ndescription: a\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\nbatch: 8\n")
    recipe = load_recipe(tmp_path / "b.yaml")
    assert (recipe.steps, recipe.batch, recipe.name, recipe.description) == (5, 8, "b", "")


@pytest.mark.parametrize(
    "text", ["base: loop.yaml", "base: nowhere", "base: 3", "base: [a]", "base: ../", 'base: "a\\0b"']
)
def test_a_base_that_cannot_be_followed_is_named_with_its_line(text, tmp_path):
    path = tmp_path / "loop.yaml"
    path.write_text(f"steps: 1\n{text}\n")
    with pytest.raises(ConfigError, match=r"loop\.yaml:2: base: "):
        load_recipe(path)


def test_identity_ignores_what_does_not_change_the_numbers():
    same = ["run=elsewhere", "data.workers=0", "micro_batch=8", "stop_after=3", "log.every=1", "compile=true"]
    same += ["checkpoint.every=5", "report.samples=1", "encoder.attention=sdpa"]
    recipe = load_recipe(SMALL)
    assert load_recipe(SMALL, same).identity() == recipe.identity()
    for change in (
        "seed=1",
        "batch=128",
        "optimizer.lr=1e-3",
        "masking.num_visible=21",
        "precision=bf16",
        "data.world=3",
    ):
        assert load_recipe(SMALL, [change]).identity() != recipe.identity()
    turned = {**SMALL, "modalities": dict(reversed(SMALL["modalities"].items()))}
    assert load_recipe(turned).identity() != recipe.identity()


def test_versions_are_kept_and_do_not_change_the_identity(tmp_path):
    recipe = load_recipe(SMALL)
    kept = recipe.with_versions()
    assert {"python", "maetoolkit", "torch"} <= set(kept.versions)
    (tmp_path / "recipe.yaml").write_text(kept.yaml())
    assert load_recipe(tmp_path).identity() == recipe.identity()


def test_the_schema_describes_every_registered_type():
    described = schema()
    for kind in (registry().modalities, registry().samplers, registry().decoders, registry().sources):
        for cls in kind.values():
            assert cls.__name__ in described["$defs"]
    assert described["required"] == ["modalities"]


def test_recipes_need_no_torch():
    code = "import sys; from maetoolkit.train.recipe import *; load_recipe('mae-d2'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def leaves(values, path=()):
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield (*path, key)
            yield from leaves(value, (*path, key))


DOCUMENTS = [read_document(path).values for path in registry().recipes.values()]
NAMES = ["rgb", "inf", "share", "dirichlet", "joint", "folder", "standardized_rgb", "depth"]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(NAMES)
lists = st.lists(st.integers() | st.text(max_size=3), max_size=3)
mappings = st.dictionaries(st.text(max_size=5), st.integers() | st.none(), max_size=3)
junk = scalars | lists | mappings | st.sampled_from([0, 1, -1, 10**30, 10**400, 1e308])


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300, deadline=None)
@given(data=st.data())
def test_a_mutated_recipe_is_valid_or_gives_one_clear_error(data):
    import copy

    values = copy.deepcopy(data.draw(st.sampled_from(DOCUMENTS)))
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(list(leaves(values)) or [("x",)]))
        section = values
        for key in path[:-1]:
            section = section[key]
        action = data.draw(st.sampled_from(["replace", "delete", "add", "rename"]))
        if action == "replace":
            section[path[-1]] = data.draw(junk)
        elif action == "add":
            section[data.draw(st.text(max_size=6))] = data.draw(junk)
        elif path[-1] in section:
            value = section.pop(path[-1])
            if action == "rename":
                section[data.draw(st.text(max_size=6))] = value
    recipe, message = None, ""
    try:
        recipe = load_recipe(values)
    except ConfigError as error:
        message = str(error)
    assert len(message.splitlines()) <= 21
    if recipe is not None:
        assert load_recipe(parse(recipe.yaml(), "written").values) == recipe


def test_a_recipe_is_immutable_and_knows_its_modalities():
    recipe = load_recipe(SMALL)
    assert isinstance(recipe, Recipe)
    assert recipe.modality_set is recipe.modality_set
    with pytest.raises(ValueError, match="frozen"):
        recipe.steps = 3
