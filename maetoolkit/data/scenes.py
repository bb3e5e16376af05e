"""Scenes: an endless procedural world with colour, exact depth, classes and surface normals; needs no download."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt

from maetoolkit.data.cache import RecordCache
from maetoolkit.data.source import Samples, Source, Subset
from maetoolkit.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from maetoolkit.modality import ModalitySet

CLASSES = ("sky", "floor", "wall", "ceiling", "sphere", "box", "cylinder")
"""Names of the labels of the `semantic` stream, in order."""

STREAMS: dict[str, tuple[str, tuple[int, ...], int]] = {
    "rgb": ("uint8", (3,), 3),
    "depth": ("uint16", (), 2),
    "semantic": ("uint8", (), 1),
    "normals": ("int8", (3,), 3),
}
"""What a scene can be read as: type of number, shape behind height and width, bytes per pixel."""


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


class Scenes(Source):
    """Rooms and courtyards with spheres, boxes and cylinders, ray-cast when a sample is read.

    Streams: `rgb` uint8 (H, W, 3); `depth` uint16 (H, W), millimetres along the optical axis, 0 where there is sky;
    `semantic` uint8 (H, W), labels of `CLASSES`; `normals` int8 (H, W, 3), unit normals times 127 in the camera's
    frame (x right, y up, z towards the camera), 0 where there is sky.
    size: height and width of a picture in pixels. world: another number is another set of scenes.
    cache: megabytes, shared by the workers, in which scenes are kept once they are rendered.
    """

    type: Literal["scenes"] = "scenes"
    size: Annotated[tuple[PositiveInt, PositiveInt], BeforeValidator(_pair)] = (64, 64)
    num_train: PositiveInt = 4096
    num_validation: int = Field(500, ge=0)
    world: int = 0
    cache: int = Field(256, ge=0)

    def open(self, modalities: ModalitySet, subset: Subset) -> Samples | None:  # noqa: D102
        streams = self.stream_names(modalities)
        for entry, stream in streams.items():
            if stream not in STREAMS:
                raise ConfigError(
                    f"data.streams.{entry}: scenes have no stream {stream!r}; there are: {', '.join(STREAMS)}"
                )
            num_classes = getattr(modalities[entry], "num_classes", None)
            if stream == "semantic" and num_classes is not None and num_classes < len(CLASSES):
                raise ConfigError(
                    f"modalities.{entry}.num_classes: scenes have {len(CLASSES)} classes, found {num_classes}"
                )
        num_samples = self.num_train if subset == "train" else self.num_validation
        return SceneSamples(self, subset, num_samples, streams) if num_samples else None


class SceneSamples(Samples):
    """The scenes of one subset; scene `index` is a pure function of world, subset and index."""

    def __init__(self, source: Scenes, subset: Subset, num_samples: int, streams: dict[str, str]) -> None:
        self.world, self.size, self.subset, self.num_samples = source.world, source.size, subset, num_samples
        self.streams = streams
        self.views = tuple(sorted(set(streams.values())))
        record = self.size[0] * self.size[1] * sum(STREAMS[view][2] for view in self.views)
        self._cache = RecordCache(record, min(num_samples, source.cache * 2**20 // record))

    def __len__(self) -> int:
        return self.num_samples

    def key(self, index: int) -> str:  # noqa: D102
        return f"{self.subset}/{index:06d}"

    def read(self, index: int) -> dict[str, np.ndarray | None]:  # noqa: D102
        record = self._cache.get(index)
        if record is None:
            record = self._render(index)
            self._cache.put(index, record)
        views = self._split(bytearray(record))
        return {entry: views[stream] for entry, stream in self.streams.items()}

    def _render(self, index: int) -> bytes:
        from maetoolkit.data.scenes_render import render
        from maetoolkit.data.scenes_world import draw_world
        from maetoolkit.randomness import generator

        scene = draw_world(generator("scenes", self.world, self.subset, index))
        views = render(scene, self.size, frozenset(self.views))
        return b"".join(views[view].tobytes() for view in self.views)

    def _split(self, record: bytearray) -> dict[str, np.ndarray]:
        import numpy as np

        views, offset = {}, 0
        for view in self.views:
            dtype, rest, num_bytes = STREAMS[view]
            shape = (*self.size, *rest)
            views[view] = np.frombuffer(record, dtype, math.prod(shape), offset).reshape(shape)
            offset += self.size[0] * self.size[1] * num_bytes
        return views
