"""Does it learn across modalities? Scan from labels and labels from scan, against means, on the validation patients.

Run: `python plugins/maetoolkit-volumes/benchmarks/hippocampus.py RUN`, where RUN is a finished run of the recipe
`volumes-hippocampus-small` with any settings.
"""

from __future__ import annotations

import json
import sys

import torch
from torch.nn import functional as F

from maetoolkit.data.source import Samples
from maetoolkit.evaluate.baselines import compare, predict
from maetoolkit.evaluate.reconstruct import batches
from maetoolkit.modality import ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.train.run import load_run


def labels_of(samples: Samples, modalities: ModalitySet) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels (B, X, Y, Z) of all samples, and where they are known."""
    (batch,) = batches(samples, modalities, range(len(samples)), len(samples))
    field = modalities["seg"].prepare(batch.fields["seg"])
    return field.values, torch.ones_like(field.values, dtype=torch.bool) if field.valid is None else field.valid


def dice(found: torch.Tensor, truth: torch.Tensor, known: torch.Tensor, label: int) -> float:
    """Overlap of one class, 0 to 1, over all voxels."""
    one, other = (found == label) & known, (truth == label) & known
    return float(2 * (one & other).sum() / (one.sum() + other.sum()).clamp(min=1))


def labels_from_scan(
    model: MaskedAutoencoder, train: Samples, validation: Samples, modalities: ModalitySet
) -> dict[str, float]:
    """Cross-entropy per voxel and overlap of both parts: the model given the scan, and the map of how often each class
    lies where in the training patients."""
    seg = modalities["seg"]
    truth, known = labels_of(validation, modalities)
    others, others_known = labels_of(train, modalities)
    one_hot = F.one_hot(others, seg.num_classes).movedim(-1, 0).float() * others_known
    often = (one_hot.sum(1) + 1 / seg.num_classes) / (others_known.sum(0) + 1)
    always = torch.stack([(others[others_known] == label).float().mean() for label in range(seg.num_classes)])
    (batch,) = batches(validation, modalities, range(len(validation)), len(validation))
    done = predict(model, batch, ["mri"])
    found = seg.unpatchify(done.predicted["seg"], done.patches["seg"].grid)
    target = done.plan.target["seg"]
    per_token = seg.cut(known).flatten(2).sum(2)
    entropy = (done.token_loss["seg"] * per_token * target).sum() / (per_token * target).sum()
    likeliest = often.argmax(0).expand_as(truth)
    log_map = often.log().expand(len(truth), -1, -1, -1, -1)
    scores = {
        "cross_entropy_model": float(entropy),
        "cross_entropy_mean_map": float(F.cross_entropy(log_map, truth, reduction="none")[known].mean()),
        "cross_entropy_frequencies": float(-(always.log()[truth])[known].mean()),
    }
    for label in range(1, seg.num_classes):
        scores[f"dice_{label}_model"] = dice(found, truth, known, label)
        scores[f"dice_{label}_mean_map"] = dice(likeliest, truth, known, label)
    return scores


def main(path: str) -> None:
    """Print both measurements as JSON."""
    recipe, model = load_run(path)
    modalities = recipe.modality_set
    train, validation = (recipe.data.open(modalities, subset) for subset in ("train", "validation"))
    scan = compare(model.eval(), validation, modalities, train, ["seg"], "mri")
    print(json.dumps({"mri from seg": scan, "seg from mri": labels_from_scan(model, train, validation, modalities)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
