"""Declare modalities, build a masked autoencoder, train it for a minute on scenes, encode one modality alone."""

import torch

from maetoolkit import RGB, CrossDecoder, Depth, Dirichlet, MaskedAutoencoder, ModalitySet, StandardizedRGB, ViT
from maetoolkit.data.loader import StepLoader
from maetoolkit.data.scenes import Scenes

modalities = ModalitySet(
    rgb=RGB(size=64, patch=8),
    depth=Depth(size=64, patch=8),
    rgb_std=StandardizedRGB(of="rgb"),
)
model = MaskedAutoencoder(
    modalities,
    encoder=ViT(dim=128, depth=4, heads=4),
    decoder=CrossDecoder(dim=96, depth=1, heads=4),
    masking=Dirichlet(num_visible=32),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05)

scenes = Scenes(size=64, workers=0)
samples = scenes.open(modalities, "train")
loader = StepLoader(
    samples,
    modalities,
    scenes,
    seed=0,
    batch=32,
    micro_batch=32,
    sampler=model.sampler,
    router=model.router,
    num_steps=60,
)
for step, (batch,) in loader:
    output = model(batch)
    optimizer.zero_grad()
    output.loss.backward()
    optimizer.step()
    if step % 10 == 0:
        print(f"step {step:3d}", *(f"{name} {loss.item():.3f}" for name, loss in output.losses.items()))

model.eval()
with torch.no_grad():
    encoded = model.encode({"rgb": torch.rand(2, 3, 64, 64)})  # never masked; any subset of the inputs
print("tokens", tuple(encoded.tokens("rgb").shape), "summary", tuple(encoded.summary.shape))
