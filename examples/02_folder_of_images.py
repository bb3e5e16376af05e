"""From a folder of files to a trained run and a report: RGB as JPEG, depth as 16-bit PNG, joined by name."""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from maetoolkit import RGB, Depth, ModalitySet, load_recipe, pretrain
from maetoolkit.data.scenes import Scenes
from maetoolkit.evaluate.report import write_report


def write_folder(root: Path, num_train: int, num_validation: int) -> None:
    """Scenes as files, laid out as the folder source wants them: root/split/modality/name.suffix."""
    modalities = ModalitySet(rgb=RGB(), depth=Depth())
    for split, subset, num in (("train", "train", num_train), ("val", "validation", num_validation)):
        samples = Scenes(size=64).open(modalities, subset)
        for index in range(num):
            values = samples.read(index)
            for name, suffix in (("rgb", "jpg"), ("depth", "png")):
                path = root / split / name / f"{index:04d}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values[name]).save(path)


work = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
write_folder(work / "data", num_train=256, num_validation=16)
recipe = load_recipe(
    {
        "run": str(work / "run"),
        "steps": 60,
        "batch": 32,
        "modalities": {
            "rgb": {"type": "rgb", "size": 64, "patch": 8},
            "depth": {"type": "depth", "size": 64, "patch": 8},
        },
        "masking": {"type": "dirichlet", "num_visible": 32},
        "encoder": {"type": "vit", "dim": 128, "depth": 4, "heads": 4},
        "decoder": {"type": "cross", "dim": 96, "depth": 1, "heads": 4},
        "data": {"type": "folder", "root": str(work / "data"), "workers": 0},
        "optimizer": {"lr": 8e-3, "warmup_steps": 10},
    }
)
run = pretrain(recipe)
print("report:", write_report(run.path))
