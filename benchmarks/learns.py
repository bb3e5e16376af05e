"""Does a recipe learn on real data? Trains it, and compares its validation losses with those of mean predictors.

Run: `uv run python benchmarks/learns.py RECIPE [key=value ...]`; the table is added to `results/learns.md`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from interleave import provenance

from maetoolkit.evaluate.findings import Effort, look
from maetoolkit.train.log import read_log
from maetoolkit.train.recipe import load_recipe
from maetoolkit.train.run import load_run, pretrain

LAST = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_intermixed_args()
    where = provenance("python " + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))
    recipe = load_recipe(args.recipe, args.overrides)
    start = time.process_time()
    run = pretrain(recipe)
    seconds = time.process_time() - start
    _, model = load_run(run.path)
    validation = recipe.data.open(recipe.modality_set, "validation")
    found = look(model, run.samples, validation, Effort())
    records = read_log(run.path / "log.jsonl")
    lines = [f"## {recipe.name}, {run.step} steps\n", f"{where}, {seconds:.0f} s of processor time in this process\n"]
    lines += ["| training loss | first step | last ten log lines | ratio |", "|---|---|---|---|"]
    for name in (key for key in records[0] if key.startswith("loss/") and records[0][key]):
        first, last = records[0][name], statistics.mean(record[name] for record in records[-LAST:])
        lines.append(
            f"| {name} | {first:.4g} | {last:.4g} | {last / first:.2f} |" if first else f"| {name} | 0 | {last} | |"
        )
    lines += [
        f"\n{found.num_samples['compared']} {found.subset} samples:\n",
        "| predicted | from | model | mean of the sample | mean map |",
        "|---|---|---|---|---|",
    ]
    for (given, name), result in found.comparisons.items():
        average = "" if result.mean_map is None else f"{result.mean_map.mean:.4g}"
        given = f"all of {given}" if given else "what the mask shows"
        lines.append(f"| {name} | {given} | {result.model.mean:.4g} | {result.mean_image.mean:.4g} | {average} |")
    text = "\n".join([*lines, ""])
    print(text)
    args.results.mkdir(parents=True, exist_ok=True)
    with (args.results / "learns.md").open("a", encoding="utf-8") as file:
        file.write(text + "\n")


if __name__ == "__main__":
    main()
