"""Do masked words follow from the picture? Flickr8k, with pairs as they are and with captions shuffled among pictures.

Trains a recipe on both, then predicts hidden words of the validation captions beside their own picture, another one,
and none. `m3ae-flickr8k-small` never sees captions alone; `m3ae-flickr8k-mix` does.
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

from maetoolkit.data.folder import Folder
from maetoolkit.data.source import Samples
from maetoolkit.evaluate.reconstruct import batches
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import complete
from maetoolkit.modality import Geometry
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.randomness import generator
from maetoolkit.tokens import Batch, Field
from maetoolkit.train.log import read_log
from maetoolkit.train.recipe import load_recipe
from maetoolkit.train.run import load_run, pretrain

NUM_MASKS, HIDDEN = 8, 0.5
ROOTS = {
    "m3ae-flickr8k-small": ["data.root"],
    "m3ae-flickr8k-mix": [f"data.sources.{part}.source.root" for part in ("paired", "images", "captions")],
}


def hide_words(batch: Batch, model: MaskedAutoencoder, number: int) -> dict[bool, MaskPlan]:
    """The same hidden words, with all of the picture (True) and with none of it (False)."""
    layout = Layout.of(model.modalities, batch.fields)
    words, picture = layout.present["text"], layout.present["rgb"]
    shown = np.stack([generator("words", number, key).random(words.shape[1]) for key in batch.keys]) >= HIDDEN
    plans = {
        whole: complete(layout, {"rgb": picture & whole, "text": words & shown}, "masked") for whole in (True, False)
    }
    nothing = torch.zeros_like(plans[True].target["rgb"])
    return {whole: MaskPlan(plan.visible, {**plan.target, "rgb": nothing}) for whole, plan in plans.items()}


@torch.no_grad()
def surprise(model: MaskedAutoencoder, samples: Samples, captions: int = 5) -> dict[str, np.ndarray]:
    """Mean cross-entropy of hidden words per picture, over its captions and several masks, by what picture is shown."""
    modalities = model.modalities
    text, everything = modalities["text"], range(len(samples))
    raw = [samples.read(index)["text"] for index in everything]
    (batch,) = batches(samples, modalities, everything, len(samples))
    pictures = batch.fields["rgb"]
    another = Field(pictures.values.roll(1, 0), pictures.present)
    shown = {"its own picture": (pictures, True), "another picture": (another, True), "no picture": (pictures, False)}
    sums = {what: np.zeros((len(samples), 2)) for what in shown}
    for caption in range(captions):
        words = text.collate([text.transform(lines[caption : caption + 1], Geometry()) for lines in raw])
        for what, (picture, whole) in shown.items():
            given = Batch({"rgb": picture, "text": words}, batch.keys)
            for number in range(NUM_MASKS):
                plan = hide_words(given, model, NUM_MASKS * caption + number)[whole]
                score = model(given, plan).scores["text"]
                np.add.at(sums[what], score.sample.numpy(), np.stack([score.total.numpy(), score.count.numpy()], 1))
    return {what: both[:, 0] / both[:, 1] for what, both in sums.items()}


def gain(worse: np.ndarray, better: np.ndarray) -> str:
    """How much lower the second is, with the standard error over pictures."""
    difference = worse - better
    return f"{difference.mean():+.3f} ± {statistics.stdev(difference) / len(difference) ** 0.5:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/words_from_pictures"))
    parser.add_argument("--recipe", choices=list(ROOTS), default="m3ae-flickr8k-small")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_intermixed_args()
    args.work.mkdir(parents=True, exist_ok=True)
    where, data = provenance("python " + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])), args.data.resolve()
    tokenizer = args.work / "tokenizer.json"
    if not tokenizer.exists():
        train = ["maetool", "text", "train-tokenizer", "--out", tokenizer, "--vocab-size", "1000"]
        subprocess.run([*train, *sorted((data / "train/caption/all").glob("*.txt"))], check=True)
    rows, falls = [], []
    intact = Folder(root=str(data), streams={"text": "caption"})  # type: ignore[arg-type]
    shuffle(data, "train", "caption", args.work / "shuffled-data")
    for name, root in (("paired", data), ("shuffled", args.work / "shuffled-data")):
        run = args.work / name
        settings = [f"run={run}", f"modalities.text.tokenizer={tokenizer.resolve()}", "modalities.text.vocab_size=1000"]
        settings += [f"{key}={root}" for key in ROOTS[args.recipe]]
        pretrain(load_recipe(args.recipe, [*settings, *args.overrides]))
        recipe, model = load_run(run)
        records = read_log(run / "log.jsonl")
        for loss in ("loss/rgb", "loss/text"):
            last = statistics.mean(record[loss] for record in records[-10:])
            falls.append(f"| {name} | {loss} | {records[0][loss]:.3f} | {last:.3f} |")
        validation = intact.open(recipe.modality_set, "validation")
        assert validation is not None
        own, another, without = surprise(model, validation).values()
        means = " | ".join(f"{values.mean():.3f}" for values in (own, another, without))
        rows.append(f"| {name} | {means} | {gain(another, own)} | {gain(without, own)} |")
        print(rows[-1], flush=True)
    lines = [
        "# Masked words with and without their picture (Flickr8k, 450 training and 50 validation pictures)\n",
        where + "\n",
        f"`{args.recipe}`. Mean cross-entropy (nats) of hidden words of validation captions, {HIDDEN:.0%} hidden, five "
        f"captions and {NUM_MASKS} masks each; gains of its own picture with the standard error over pictures.\n",
        "| trained on | its own picture | another picture | no picture | gain over another | gain over none |",
        "|---|---|---|---|---|---|",
        *rows,
        "\n| trained on | | first step | last ten log lines |\n|---|---|---|---|",
        *falls,
        "",
    ]
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "words_from_pictures.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
