"""Does it learn across modalities? Depth from colour alone against mean predictors, and with mis-paired files.

Trains a recipe on a folder, then again on the same folder with the training files of one modality shuffled against the
others; both are measured on the intact validation images.
Run: `uv run python benchmarks/cross_modal.py RECIPE ROOT WORK [--shuffle depth] [key=value ...]`
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from interleave import provenance

from maetoolkit import load_recipe, pretrain
from maetoolkit.data.source import Samples
from maetoolkit.evaluate.baselines import compare, compare_done, continuous
from maetoolkit.evaluate.reconstruct import batches, with_masks
from maetoolkit.modality import ModalitySet
from maetoolkit.randomness import generator


def shuffle(root: Path, split: str, modality: str, target: Path) -> None:
    """Link every file below `root`, except that those of `modality` in `split` trade places, each with another."""
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        link = target / path.relative_to(root)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(path)
    files = sorted(p for p in (root / split / modality).rglob("*") if p.is_file())
    order = generator("shuffle", split, modality).permutation(len(files))
    cycle = np.empty(len(files), int)
    cycle[order] = np.roll(order, 1)  # one cycle through all files: none stays in its place
    for number, path in enumerate(files):
        link = target / path.relative_to(root)
        link.unlink()
        link.symlink_to(files[cycle[number]])


def median_map_error(modalities: ModalitySet, name: str, train: Samples, validation: Samples) -> float:
    """Absolute error of the best constant map for an absolute error: the median of the training images per pixel."""

    def prepared(samples: Samples) -> tuple[torch.Tensor, torch.Tensor]:
        fields = [
            modalities[name].prepare(b.fields[name]) for b in batches(samples, modalities, range(len(samples)), 50)
        ]
        valid = [f.values.isfinite() if f.valid is None else f.valid for f in fields]
        return torch.cat([f.values for f in fields]), torch.cat(valid)

    (known, measured), (truth, valid) = prepared(train), prepared(validation)
    median = known.where(measured, torch.nan).nanmedian(0).values.nan_to_num(0.0)
    return float((truth - median).abs()[valid].mean())


def measure(recipe_name: str, overrides: list[str], given: list[str], target: str, validation_root: str) -> dict:
    """Train, then the error of `target` from `given`, and the masked losses beside the mean of each image."""
    recipe = load_recipe(recipe_name, overrides)
    start = time.perf_counter()
    run = pretrain(recipe)
    minutes = (time.perf_counter() - start) / 60
    model, modalities = run.model.eval(), recipe.modality_set
    intact = (
        load_recipe(recipe_name, [*overrides, f"data.root={validation_root}"]).data if validation_root else recipe.data
    )
    train, validation = intact.open(modalities, "train"), intact.open(modalities, "validation")
    found = compare(
        model, validation, modalities, train, given, target, num=len(validation), num_train=min(len(train), 700)
    )
    found["median_map"] = median_map_error(modalities, target, train, validation)
    masked = {}
    for name in continuous(modalities):
        done = (d for b in batches(validation, modalities, range(len(validation))) for d in with_masks(model, b, 3))
        both = compare_done(modalities, done, name, None)
        masked[name] = {"model": both.model.mean, "mean_image": both.mean_image.mean}
    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    losses = {k: [log[0][k], log[-1][k]] for k in log[0] if k.startswith("loss/")}
    return {
        "minutes": minutes,
        f"{target} from {', '.join(given)}": found,
        "masked": masked,
        "first and last loss": losses,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("root")
    parser.add_argument("work", type=Path)
    parser.add_argument("--given", nargs="+", default=["rgb"])
    parser.add_argument("--target", default="depth")
    parser.add_argument("--shuffle", default="depth")
    parser.add_argument("--only", choices=["aligned", "shuffled"])
    args, overrides = parser.parse_known_args()
    for name in [args.only] if args.only else ["aligned", "shuffled"]:
        root = Path(args.root)
        if name == "shuffled":
            root = args.work / "files"
            shuffle(Path(args.root).resolve(), "train", args.shuffle, root)
        settings = [f"data.root={root}", f"run={args.work / name}", *overrides]
        origin = provenance(" ".join(["python", *sys.argv]))  # before the run: the commit that is measured
        result = {"what": name, **measure(args.recipe, settings, args.given, args.target, args.root)}
        result["provenance"] = origin
        (args.work / f"{name}.json").write_text(json.dumps(result, indent=2))
        print(json.dumps(result, indent=2), flush=True)


if __name__ == "__main__":
    main()
