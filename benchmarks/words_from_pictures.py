"""Do masked words follow from the picture? Flickr8k, with pairs as they are and with captions shuffled among pictures.

Trains `m3ae-flickr8k-small` on both, then predicts the hidden words of every caption of the validation pictures with
the picture whole and without it.
Run: `uv run python benchmarks/words_from_pictures.py --data DIR [--work DIR] [key=value ...]`
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from cross_modal import shuffle
from interleave import provenance

from maetoolkit.evaluate.reconstruct import batches
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import complete
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.randomness import generator
from maetoolkit.tokens import Batch
from maetoolkit.train.log import read_log
from maetoolkit.train.recipe import Recipe, load_recipe
from maetoolkit.train.run import load_run, pretrain

NUM_MASKS, HIDDEN = 8, 0.5


def hide_words(batch: Batch, model: MaskedAutoencoder, number: int) -> dict[str, MaskPlan]:
    """The same hidden words, with all of the picture and with none of it."""
    layout = Layout.of(model.modalities, batch.fields)
    words = layout.present["text"]
    shown = np.stack([generator("words", number, key).random(words.shape[1]) for key in batch.keys]) >= HIDDEN
    picture = layout.present["rgb"]
    plans = {
        what: complete(layout, {"rgb": seen, "text": words & shown}, "masked")
        for what, seen in (("with", picture), ("without", picture & False))
    }
    nothing = torch.zeros_like(plans["with"].target["rgb"])
    return {what: MaskPlan(plan.visible, {**plan.target, "rgb": nothing}) for what, plan in plans.items()}


@torch.no_grad()
def surprise(model: MaskedAutoencoder, recipe: Recipe) -> dict[str, np.ndarray]:
    """Mean cross-entropy of hidden words per validation picture, over its captions and several masks."""
    samples = recipe.data.open(recipe.modality_set, "validation")
    assert samples is not None
    text = recipe.modality_set["text"]
    raw = [samples.read(index)["text"] for index in range(len(samples))]
    total = {what: np.zeros((len(samples), 2)) for what in ("with", "without")}
    for (batch,) in [list(batches(samples, recipe.modality_set, range(len(samples)), len(samples)))]:
        for caption in range(min(len(captions) for captions in raw)):
            chosen = text.collate([text.transform(captions[caption : caption + 1], None) for captions in raw])
            given = Batch({**batch.fields, "text": chosen}, batch.keys)
            for number in range(NUM_MASKS):
                for what, plan in hide_words(given, model, NUM_MASKS * caption + number).items():
                    score = model(given, plan).scores["text"]
                    part = np.stack([score.total.numpy(), score.count.numpy()], 1)
                    np.add.at(total[what], score.sample.numpy(), part)
    return {what: sums[:, 0] / sums[:, 1] for what, sums in total.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/words_from_pictures"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    where, data = provenance("python " + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])), args.data.resolve()
    tokenizer = args.work / "tokenizer.json"
    if not tokenizer.exists():
        train = ["maetool", "text", "train-tokenizer", "--out", tokenizer, "--vocab-size", "1000"]
        subprocess.run([*train, *sorted((data / "train/caption/all").glob("*.txt"))], check=True)
    rows, falls = [], []
    shuffle(data, "train", "caption", args.work / "shuffled-data")
    for name, root in (("paired", data), ("shuffled", args.work / "shuffled-data")):
        run = args.work / name
        settings = [f"data.root={root}", f"run={run}", f"modalities.text.tokenizer={tokenizer.resolve()}"]
        settings += ["modalities.text.vocab_size=1000", *args.overrides]
        pretrain(load_recipe("m3ae-flickr8k-small", settings))
        recipe, model = load_run(run)
        records = read_log(run / "log.jsonl")
        for loss in ("loss/rgb", "loss/text"):
            falls.append(f"| {name} | {loss} | {records[0][loss]:.3f} | {records[-1][loss]:.3f} |")
        found = surprise(model, recipe)
        gain = found["without"] - found["with"]
        error = statistics.stdev(gain) / len(gain) ** 0.5
        means = f"{found['with'].mean():.3f} | {found['without'].mean():.3f}"
        rows.append(f"| {name} | {means} | {gain.mean():+.3f} ± {error:.3f} |")
        print(rows[-1], flush=True)
    lines = [
        "# Masked words with and without their picture (Flickr8k, 450 training and 50 validation pictures)\n",
        where + "\n",
        f"Mean cross-entropy (nats) of hidden words of validation captions, {HIDDEN:.0%} hidden, five captions and "
        f"{NUM_MASKS} masks each; gain with the standard error over pictures.\n",
        "| trained on | picture visible | no picture | gain |\n|---|---|---|---|",
        *rows,
        "\n| trained on | | first | last |\n|---|---|---|---|",
        *falls,
        "",
    ]
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "words_from_pictures.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
