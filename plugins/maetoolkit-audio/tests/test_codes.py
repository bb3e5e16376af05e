from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from maetoolkit_audio import Audio, AudioCodes
from maetoolkit_audio.codes import random_projection

from maetoolkit.masking.share import Share
from maetoolkit.modality import Geometry, ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import JointDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.randomness import Draw, generator
from maetoolkit.tokens import Batch, Field

CODES = AudioCodes(num_codes=64, code_dim=8)
FRAMES = Audio(sample_rate=4000, seconds=1.28, num_mels=32, window=256, hop=80, patch=(32, 4))  # 16 tokens

IN_ANOTHER_PROCESS = """
import numpy as np, torch
from maetoolkit_audio import AudioCodes
values = np.random.default_rng(0).standard_normal((500, 1, 16, 16)).astype(np.float32)
print(*AudioCodes(num_codes=64, code_dim=8).target(torch.from_numpy(values)).tolist())
"""


def test_codes_are_the_same_in_every_process_and_however_many_patches_there_are() -> None:
    values = torch.from_numpy(np.random.default_rng(0).standard_normal((500, 1, 16, 16)).astype(np.float32))
    here = CODES.target(values)
    found = subprocess.run([sys.executable, "-c", IN_ANOTHER_PROCESS], capture_output=True, text=True, check=True)
    assert here.tolist() == [int(code) for code in found.stdout.split()]
    assert torch.equal(torch.cat([CODES.target(part) for part in values.split(7)]), here)


def test_a_code_is_the_nearest_vector_by_angle() -> None:
    values = np.random.default_rng(1).standard_normal((100, 2, 3, 4))
    projection, vectors = random_projection(0, 24, 8, 64)
    projected = values.reshape(100, 24) @ projection
    unit = projected / np.linalg.norm(projected, axis=1, keepdims=True)
    expected = np.linalg.norm(unit[:, None] - vectors, axis=2).argmin(1)
    assert CODES.target(torch.from_numpy(values)).tolist() == expected.tolist()
    assert CODES.target(torch.from_numpy(3 * values)).tolist() == expected.tolist()


def test_another_codebook_gives_other_codes() -> None:
    values = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    same = (CODES.target(values) == CODES.replace(codebook=1).target(values)).float().mean()
    assert float(same) < 0.2


def test_tokens_without_anything_valid_do_not_count() -> None:
    prediction, target = torch.zeros(3, 64), torch.tensor([1, 2, 3])
    valid = torch.zeros(3, 1, 4, 4, dtype=torch.bool)
    valid[1, 0, 2, 2] = True
    total, count = CODES.token_loss(prediction, target, valid)
    assert count.tolist() == [0, 1, 0]
    torch.testing.assert_close(total, torch.tensor([0.0, np.log(64), 0.0], dtype=torch.float32))


def test_codes_are_an_output_alone() -> None:
    with pytest.raises(ValueError, match="output of another entry"):
        AudioCodes(role="both")


def chirps(num: int, purpose: str) -> Field:
    """Tones that rise or fall steadily, in noise."""
    time, values = np.arange(5120) / 4000, []
    for number in range(num):
        draw = generator("chirps", purpose, number)
        start, end, phase = (*draw.uniform(100, 1800, 2), draw.uniform(0, 2 * np.pi))
        tone = np.sin(phase + 2 * np.pi * (start * time + (end - start) * time**2 / 2 / 1.28))
        waveform = (0.5 * tone + 0.01 * draw.standard_normal(len(time))).astype(np.float32)
        values.append(FRAMES.transform(waveform[None], Geometry()))
    return FRAMES.collate(values)


@pytest.mark.slow
def test_hidden_codes_of_chirps_are_predicted_three_times_better_than_by_chance() -> None:
    """Chance is always naming the most frequent code."""
    torch.manual_seed(0)
    model = MaskedAutoencoder(
        ModalitySet(audio=FRAMES.replace(role="input"), codes=CODES),
        ViT(dim=96, depth=3, heads=3),
        JointDecoder(dim=96, depth=1, heads=3),
        Share(ratio=0.6),
    )
    train, test = chirps(1024, "train"), chirps(256, "test")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=800)
    for step in range(800):
        chosen = torch.from_numpy(generator("batch", step).integers(len(train), size=32))
        keys = tuple(str(int(number)) for number in chosen)
        part = Field(train.values[chosen], train.present[chosen])
        model(Batch({"audio": part}, keys, Draw.of(0, keys, step))).loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()

    keys = tuple(str(number) for number in range(len(test)))
    with torch.no_grad():
        output = model.eval()(Batch({"audio": test}, keys, Draw.of(1, keys)))
    patches = FRAMES.patchify(FRAMES.prepare(test)).values.flatten(0, 1)
    hidden = output.plan.target["codes"].flatten()
    codes = CODES.target(patches)[hidden]
    accuracy = float((output.predictions["codes"].argmax(1) == codes).float().mean())
    chance = float(codes.bincount().max() / len(codes))
    print(f"accuracy {accuracy:.3f}, most frequent code {chance:.3f}, codes in use {len(codes.unique())}")
    assert accuracy > 3 * max(chance, 1 / 64)
