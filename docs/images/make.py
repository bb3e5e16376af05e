"""The pictures of docs/modalities.md, all of generated data: `python docs/images/make.py`.

Left, or above, is the whole entry; beside it what the encoder is given of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from maetoolkit_audio import Audio
from maetoolkit_normals import Normals
from maetoolkit_points import Points
from maetoolkit_text import Text
from maetoolkit_text.cases import vocabulary
from maetoolkit_video import Video
from maetoolkit_volumes import Volume
from PIL import Image

from maetoolkit.data.scenes import Scenes
from maetoolkit.evaluate.pictures import draw, enlarge
from maetoolkit.modality import Geometry, Marks, Modality, ModalitySet
from maetoolkit.randomness import generator

HERE = Path(__file__).parent
GAP = 8
SHARE = 0.4  # of the tokens that is shown


def normals() -> tuple[Modality, np.ndarray]:
    """A ray-cast scene."""
    entry = Normals(size=128, patch=16)
    samples = Scenes(size=128, num_train=1).open(ModalitySet(normals=entry), "train")
    assert samples is not None
    value = samples.read(0)["normals"]
    assert value is not None
    return entry, value


def audio() -> tuple[Modality, np.ndarray]:
    """Two voices that rise and fall, and clicks."""
    time = np.arange(16000 * 5) / 16000
    rising = np.sin(2 * np.pi * (200 * time + 350 * time**2))
    trembling = np.sin(2 * np.pi * 900 * time + 60 * np.sin(2 * np.pi * 1.5 * time))
    clicks = generator("images", "audio").standard_normal(len(time)) * (time % 0.7 < 0.03)
    wave = 0.3 * rising + 0.2 * trembling + 0.2 * clicks + 1e-3 * np.sin(2 * np.pi * 3 * time)
    return Audio(seconds=5.12, num_mels=64), wave[None].astype(np.float32)


def points() -> tuple[Modality, np.ndarray]:
    """A ring standing on its edge."""
    stream = generator("images", "points")
    along, around = stream.uniform(0, 2 * np.pi, (2, 1024))
    radius = 1 + 0.35 * np.cos(around)
    cloud = np.stack([radius * np.cos(along), 0.35 * np.sin(around), radius * np.sin(along)], 1)
    return Points(num_points=1024, num_groups=64, group_size=32), cloud.astype(np.float32)


def text() -> tuple[Modality, np.ndarray]:
    """A caption."""
    return Text(tokenizer=vocabulary(), max_length=16), np.array(["a red dog runs on grass . a cat sits on snow ."])


def video() -> tuple[Modality, np.ndarray]:
    """A ball that crosses a meadow."""
    rows, columns = np.indices((64, 64))
    frames = []
    for step in range(8):
        meadow = np.where((rows > 40)[..., None], (70, 130, 60), (150, 190, 230))
        ball = (rows - 36 + 14 * np.sin(np.pi * step / 7)) ** 2 + (columns - 8 - 7 * step) ** 2 < 64
        frames.append(np.where(ball[..., None], (210, 60, 40), meadow))
    return Video(size=(8, 64, 64), patch=(2, 16, 16), frame_stride=1), np.stack(frames).astype(np.uint8)


def volumes() -> tuple[Modality, np.ndarray]:
    """Shells within a shell."""
    place = np.stack(np.meshgrid(*[np.linspace(-1, 1, 48)] * 3, indexing="ij"))
    distance = np.sqrt(((place / np.array([0.8, 0.95, 0.7]).reshape(3, 1, 1, 1)) ** 2).sum(0))
    inner = np.sqrt(((place - np.array([0.2, 0.1, 0.0]).reshape(3, 1, 1, 1)) ** 2).sum(0))
    scan = np.select([inner < 0.25, distance < 0.75, distance < 0.9], [0.9, 0.5, 1.0], 0.0)
    return Volume(size=48, patch=8), scan.astype(np.float32)


def picture(entry: Modality, value: np.ndarray, name: str) -> Image.Image:
    """The whole value, and what is given of it."""
    field = entry.prepare(entry.collate([entry.transform(value, Geometry())]))
    patches = entry.patchify(field)
    values, present = patches.values[0], patches.present[0]
    valid = None if patches.valid is None else patches.valid[0]
    hidden = torch.from_numpy(generator("images", name, "hidden").random(len(present)) > SHARE) | ~present
    drawn = []
    for covered in (~present, hidden):
        marks = Marks(present, covered & present, torch.zeros_like(present), positions=patches.positions[0])
        over = covered if bool(covered.any()) else None
        image = draw(entry, values, patches.grid, values, valid=valid, hidden=over, marks=marks)
        assert image is not None
        drawn.append(enlarge(image))
    height, width = drawn[0].shape[:2]
    below = width > 2 * height
    size = (width, 2 * height + GAP) if below else (2 * width + GAP, height)
    sheet = Image.new("RGB", size, "white")
    for number, image in enumerate(drawn):
        sheet.paste(Image.fromarray(image), (0, number * (height + GAP)) if below else (number * (width + GAP), 0))
    return sheet


if __name__ == "__main__":
    for make in (normals, audio, points, text, video, volumes):
        picture(*make(), make.__name__).save(HERE / f"{make.__name__}.png", optimize=True)
