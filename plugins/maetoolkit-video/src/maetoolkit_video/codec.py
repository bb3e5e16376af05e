"""Video files: what is in them, and their frames, of which only those wanted are decoded and kept.

An encoded value is the file's bytes as uint8 (n,), behind the height and width of its upright frames: which frames a
clip needs is known only when the sample is transformed. Axes: H, W pixels of a frame.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from maetoolkit.modalities.decode import MAX_PIXELS
from maetoolkit_video.containers import check_whole, format_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_HEAD = np.dtype("<u4")
_NUM_HEAD = 2 * _HEAD.itemsize


def is_encoded(value: np.ndarray) -> bool:
    """Whether a raw value is a video file that is still encoded."""
    return value.ndim == 1


def frame_size(value: np.ndarray) -> tuple[int, int]:
    """Height and width of the upright frames of an encoded value."""
    height, width = value[:_NUM_HEAD].view(_HEAD).tolist()
    return height, width


def probe(data: bytes) -> tuple[np.ndarray, int]:
    """The encoded value of a file, and its number of frames.

    Raises ValueError where there is no video stream, a frame is larger than 50 megapixels, the file is truncated, or
    its first frame cannot be decoded.
    """
    check_whole(data)
    with _opened(data) as (container, stream):
        pixels = stream.width * stream.height
        if pixels > MAX_PIXELS:
            found = f"{stream.width}x{stream.height} is {pixels / 1e6:.0f} megapixels a frame"
            raise ValueError(f"{found}; at most {MAX_PIXELS // 10**6} are allowed")
        first = next(iter(container.decode(stream)), None)
        if first is None:
            raise ValueError("expected a video, found no frame that can be decoded; repair or remove the file")
        height, width = _upright(first, "gray").shape
    head = np.array([height, width], _HEAD).view(np.uint8)
    value = np.concatenate([head, np.frombuffer(data, np.uint8)])
    return value, len(times(value))


def times(value: np.ndarray) -> list[int]:
    """When each frame is shown, in units of the stream, ascending: read from the packets, nothing is decoded."""
    with _opened(value[_NUM_HEAD:].tobytes()) as (container, stream):
        packets = [packet for packet in container.demux(stream) if packet.size]
    return sorted(packet.pts for packet in packets if packet.pts is not None and not packet.is_discard)


def decode(value: np.ndarray, wanted: Sequence[int], channels: int) -> Iterator[np.ndarray]:
    """The frames shown at the times `wanted` (ascending, may repeat): (H, W, 3) uint8, or (H, W) for one channel.

    Decoding starts at the last key frame before the first of them, and ends with the last.
    Raises ValueError where one of them is damaged.
    """
    look = "gray" if channels == 1 else "rgb24"
    missing = list(wanted)
    with _opened(value[_NUM_HEAD:].tobytes()) as (container, stream):
        for start in (wanted[0], 0):  # again from the beginning, should the container's index lead too far
            container.seek(start, stream=stream)
            for frame in container.decode(stream):
                if frame.pts is None or frame.pts < missing[0]:
                    continue
                if frame.pts > missing[0] or frame.is_corrupt:
                    break
                pixels = _upright(frame, look)
                while missing and frame.pts == missing[0]:
                    missing.pop(0)
                    yield pixels
                if not missing:
                    return
    second = float(missing[0] * stream.time_base) if stream.time_base else float(missing[0])
    raise ValueError(f"damaged video: the frame at {second:.2f} s cannot be decoded; repair or remove the file")


def _upright(frame: Any, look: str) -> np.ndarray:
    """Pixels of a decoded frame, turned as the file says that it should be shown."""
    turned = np.rot90(frame.to_ndarray(format=look), round(frame.rotation / 90) % 4)
    return np.ascontiguousarray(turned)


@contextmanager
def _opened(data: bytes) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first video stream; whatever FFmpeg refuses becomes one ValueError."""
    import av

    try:
        with av.open(io.BytesIO(data), "r", format=format_of(data)) as container:
            if not container.streams.video:
                raise ValueError("expected a video stream, found none; remove the file")
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # the loader's workers are the parallelism
            yield container, stream
    except (av.FFmpegError, EOFError) as error:
        raise ValueError(f"truncated or damaged video ({error}); repair or remove the file") from None
