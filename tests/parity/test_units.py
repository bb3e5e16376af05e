"""The published parts on their own: criteria, depth, position tables, initial values, decay, parameter counts."""

from __future__ import annotations

import json
import re

import pytest
import torch
from einops import rearrange
from golden_files import FOLDER, golden, multimae
from torch import Tensor

from maetoolkit.export.published import OURS_TO_MULTIMAE, _to_multimae, translate
from maetoolkit.layers.position import grid_coordinates, resize_table, sincos
from maetoolkit.masking import Share
from maetoolkit.modalities import RGB, Depth, Semantic, StandardizedRGB
from maetoolkit.modalities.standardize import robust_standardize
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.balance import Balanced, Score, Weighted
from maetoolkit.model.decoder import CrossDecoder, JointDecoder
from maetoolkit.model.encoder import ViT

MODALITIES = {
    "mse": (RGB(size=64, mean=(0.0,), std=(1.0,)), None, "rgb"),
    "mse_normpix": (RGB(size=64, mean=(0.0,), std=(1.0,)), StandardizedRGB(of="rgb"), "rgb"),
    "l1": (Depth(size=64, standardize=None, invalid=None), None, "depth"),
    "ce": (Semantic(size=64, void=None), None, "semseg"),
}


@pytest.mark.parametrize("name", MODALITIES)
@pytest.mark.parametrize("mask", ["mask_mixed", "mask_none"])
def test_criteria_match(name: str, mask: str) -> None:
    case = golden("multimae_criterion")
    source, derived, stem = MODALITIES[name]
    prediction, target = (
        case.tensors[f"{stem}_{'logits' if stem == 'semseg' else 'pred'}"],
        case.tensors[f"{stem}_target"],
    )
    hidden = (
        case.tensors["mask_mixed"].bool()
        if mask == "mask_mixed"
        else torch.ones_like(case.tensors["mask_mixed"]).bool()
    )
    prediction.requires_grad_()
    loss = criterion(source, derived, prediction, target, hidden)
    torch.testing.assert_close(loss, case.tensors[f"{name}.{mask}"], atol=5e-6, rtol=0)
    if mask == "mask_mixed" and f"{name}.grad_pred_first3" in case.tensors:
        criterion(source, derived, prediction[:3], target[:3], hidden[:3]).backward()
        torch.testing.assert_close(prediction.grad[:3], case.tensors[f"{name}.grad_pred_first3"], atol=1e-8, rtol=1e-4)


def criterion(source, derived, prediction: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    cell = source.cell
    cut = rearrange(prediction, "b c (h p) (w q) -> b (h w) c p q", p=cell[0], q=cell[1])
    index = hidden.flatten().nonzero()[:, 0]
    values = source.cut(target).flatten(0, 1)[index]
    modality = derived or source
    total, count = modality.token_loss(cut.flatten(0, 1)[index], modality.target(values), None)
    score = Score(total, count, index // hidden.shape[1])
    return Weighted("per_sample", {"x": 1.0})({"x": score}, len(hidden))[0]


def test_uncertainty_weighting_matches() -> None:
    case = golden("multimae_criterion").part("uncertainty.")
    balanced = Balanced("pooled", tuple("abc"))
    for name, value in zip("abc", case["log_vars"], strict=True):
        balanced.log_variances[name].data.fill_(value)
    for name, loss, weighted in zip("abc", case["losses"], case["weighted"], strict=True):
        nothing = bool(loss == 0)
        score = Score(loss[None], torch.zeros(1) if nothing else torch.ones(1), torch.zeros(1, dtype=torch.int64))
        torch.testing.assert_close(balanced({name: score}, 1)[0], weighted)


def test_depth_standardisation_matches() -> None:
    case = golden("multimae_depth_standardize").tensors
    for name in {key.split(".")[0] for key in case}:
        raw = case[f"{name}.in"]
        found = robust_standardize(raw, torch.ones_like(raw, dtype=torch.bool), 0.1)
        torch.testing.assert_close(found, case[f"{name}.out"], rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_square_position_tables_match() -> None:
    for name, table in golden("multimae_posemb").part("square.").items():
        height, width, dim = map(int, re.match(r"h(\d+)_w(\d+)_d(\d+)", name).groups())
        ours = sincos(grid_coordinates((height, width)), dim, "row_first")
        torch.testing.assert_close(rearrange(ours, "(h w) d -> 1 d h w", h=height), table, atol=1e-6, rtol=0)


def test_non_square_position_tables_are_separable_where_the_published_ones_are_scrambled() -> None:
    for name, table in golden("multimae_posemb").part("nonsquare.").items():
        height, width, dim = map(int, re.match(r"h(\d+)_w(\d+)_d(\d+)", name).groups())
        ours = rearrange(sincos(grid_coordinates((height, width)), dim, "row_first"), "(h w) d -> h w d", h=height)
        rows, columns = ours[:, :1, : dim // 2], ours[:1, :, dim // 2 :]
        assert torch.equal(ours[..., : dim // 2], rows.expand(-1, width, -1))
        assert torch.equal(ours[..., dim // 2 :], columns.expand(height, -1, -1))
        assert not torch.allclose(rearrange(ours, "h w d -> 1 d h w"), table)


def test_mae_position_tables_match() -> None:
    for name, table in golden("mae_posemb").tensors.items():
        if match := re.fullmatch(r"g(\d+)_d(\d+)", name):
            grid, dim = map(int, match.groups())
            torch.testing.assert_close(
                sincos(grid_coordinates((grid, grid)), dim, "column_first"), table, atol=1e-6, rtol=0
            )


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
def test_position_interpolation_matches(mode: str) -> None:
    case = golden("multimae_posemb_interp")
    for name, resized in case.part(f"{mode}.").items():
        kind, old, new, dim = re.match(r"(\w+?)_(\d+x\d+)_to_(\d+x\d+)_(d\d+)", name).groups()
        source = case.tensors[f"src.{kind}_{old}_{dim}"]
        sizes = [tuple(map(int, grid.split("x"))) for grid in (old, new)]
        table = resize_table(
            rearrange(source, "1 d h w -> (h w) d"), *sizes, "bicubic" if mode == "bicubic" else "linear"
        )
        torch.testing.assert_close(rearrange(table, "(h w) d -> 1 d h w", h=sizes[1][0]), resized, atol=1e-6, rtol=0)


def test_the_same_grid_is_not_interpolated() -> None:
    table = torch.randn(12, 8)
    assert resize_table(table, (3, 4), (3, 4), "bicubic") is table


def test_initial_values_have_the_published_distribution() -> None:
    path = FOLDER / "multimae_init_stats.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not in {FOLDER}")
    stats = json.loads(path.read_text())
    seen: dict[str, list[Tensor]] = {}
    for seed in range(40):
        torch.manual_seed(seed)
        model = multimae(stats["config"])
        for name, value in model.state_dict().items():
            if published := translate(name, OURS_TO_MULTIMAE):
                seen.setdefault(published, []).append(_to_multimae(model, name, value).flatten())
    assert set(seen) == set(stats["params"])
    for name, expected in stats["params"].items():
        values = torch.cat(seen[name])
        error = 5 * max(expected["std"], 1e-12) / len(values) ** 0.5
        assert abs(values.mean() - expected["mean"]) <= 2 * error + 1e-6, name
        assert abs(values.std() - expected["std"]) <= 2 * error + 1e-6, name
        assert values.abs().max() <= 1.35 * max(abs(expected["min"]), abs(expected["max"])) + 1e-6, name


@pytest.mark.parametrize("size", ["base", "large"])
def test_full_size_multimae_has_the_published_number_of_parameters(size: str) -> None:
    counts = _counts()[f"multimae_{size}"]
    sizes = {"base": (768, 12, 12), "large": (1024, 24, 16)}[size]
    with torch.device("meta"):
        model = MaskedAutoencoder(
            ModalitySet(rgb=RGB(), depth=Depth(), semseg=Semantic(void=None), norm_rgb=StandardizedRGB(of="rgb")),
            ViT(dim=sizes[0], depth=sizes[1], heads=sizes[2], final_norm=False),
            CrossDecoder(),
        )
    assert sum(p.numel() for p in model.parameters()) == counts["trainable"]
    assert sum(p.numel() for p in model.encoder.blocks.parameters()) == counts["encoder_blocks"]
    for name, number in counts["input_adapters"].items():
        assert sum(p.numel() for p in model.tokenizers[name].parameters()) == number, name
    for name, number in counts["output_adapters"].items():
        parts = (model.decoder.outputs[name], model.heads[name])
        assert sum(p.numel() for part in parts for p in part.parameters()) == number, name


@pytest.mark.parametrize(
    ("name", "patch", "sizes"),
    [("base_patch16", 16, (768, 12, 12)), ("large_patch16", 16, (1024, 24, 16)), ("huge_patch14", 14, (1280, 32, 16))],
)
def test_full_size_mae_has_the_published_number_of_parameters(
    name: str, patch: int, sizes: tuple[int, int, int]
) -> None:
    with torch.device("meta"):
        model = MaskedAutoencoder(
            ModalitySet(rgb=RGB(patch=patch, role="input"), rgb_std=StandardizedRGB(of="rgb")),
            ViT(dim=sizes[0], depth=sizes[1], heads=sizes[2]),
            JointDecoder(),
            Share(),
        )
    assert sum(p.numel() for p in model.parameters()) == _counts()[f"mae_vit_{name}"]["trainable"]


def test_downsampled_class_embeddings_need_far_fewer_weights_than_full_resolution() -> None:
    quarter = Semantic(stride=4, void=None).build_tokenizer(768)
    full = Semantic(stride=1, void=None).build_tokenizer(768)
    assert sum(p.numel() for p in quarter.parameters()) == 133 * 64 + 64 * 16 * 768 + 768
    assert sum(p.numel() for p in full.parameters()) == 133 * 64 + 64 * 256 * 768 + 768


def _counts() -> dict:
    path = FOLDER / "reference_param_counts.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not in {FOLDER}")
    return json.loads(path.read_text())["models"]
