"""Train briefly, export the encoder, and use it from timm as any other vision transformer."""

import tempfile
from pathlib import Path

import timm
import torch

from maetoolkit import load_recipe, pretrain
from maetoolkit.export.timm import export_timm

work = Path(tempfile.mkdtemp())
overrides = ["steps=40", "batch=32", "data.workers=0", "encoder.depth=4", f"run={work / 'run'}"]
run = pretrain(load_recipe("quickstart", overrides))

export_timm(run.model, work / "vit", entry="rgb")
vit = timm.create_model(f"local-dir:{work / 'vit'}", pretrained=True)

images = torch.rand(4, 3, 64, 64)
mean, std = (torch.tensor(vit.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
with torch.no_grad():
    features = vit.forward_features((images - mean) / std)
    encoded = run.model.eval().encode({"rgb": images})
ours = torch.cat([encoded.summary, encoded.tokens("rgb")], dim=1)
print(f"{type(vit).__name__} {tuple(features.shape)}, largest difference {float((features - ours).abs().max()):.1e}")
