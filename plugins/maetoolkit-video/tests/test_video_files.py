"""Video files and archives: which frames come out, and what is said of files that hold none."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from maetoolkit_video import Video, codec

from maetoolkit.modality import Geometry

NUM, HEIGHT, WIDTH = 50, 32, 48
CODECS = {
    "mp4": ("libx264", {"g": "12", "bf": "2", "preset": "ultrafast", "qp": "1", "pix_fmt": "yuv420p"}),
    "webm": ("libvpx-vp9", {"g": "12", "lossless": "1", "cpu-used": "8", "pix_fmt": "yuv420p"}),
    "matroska": ("ffv1", {"pix_fmt": "gray"}),
}


def film(kind: str = "mp4", num: int = NUM, options: dict[str, str] | None = None) -> bytes:
    """A video whose frame number i is as bright as 4 i + 20 in its left half, and 20 in its right half."""
    name, settings = CODECS[kind]
    file = io.BytesIO()
    with av.open(file, "w", format=kind, options=options or {}) as container:
        settings = dict(settings)
        stream = container.add_stream(name, rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, settings.pop("pix_fmt")
        stream.options = settings
        for i in range(num):
            pixels = np.full((HEIGHT, WIDTH), 20, np.uint8)
            pixels[:, : WIDTH // 2] += 4 * i
            frame = av.VideoFrame.from_ndarray(pixels, format="gray").reformat(format=stream.pix_fmt)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def grey(num: int = 6, step: int = 3, **settings: object) -> Video:
    return Video(size=(num, HEIGHT, WIDTH), patch=(2, 16, 16), channels=1, frame_stride=step, **settings)


@pytest.fixture(scope="module", params=CODECS)
def file(request: pytest.FixtureRequest) -> bytes:
    return film(request.param)


def test_a_clip_is_exactly_the_frames_it_names_wherever_it_starts(file: bytes) -> None:
    value = grey().read(file)
    times = codec.times(value)
    assert len(times) == NUM
    whole = np.stack(list(codec.decode(value, times, 1))).astype(int)
    brightness = whole[:, 16, 12]
    assert (np.diff(brightness) > 0).all()
    for start in range(0, NUM - 16, 3):
        wanted = times[start : start + 16 : 3]
        found = [frame[16, 12] for frame in codec.decode(value, wanted, 1)]
        assert found == brightness[start : start + 16 : 3].tolist()


def test_a_video_file_gives_the_clip_that_an_array_of_its_frames_gives(file: bytes) -> None:
    video = grey()
    value = video.read(file)
    assert video.frame(value) == (HEIGHT, WIDTH)
    frames = np.stack(list(codec.decode(value, codec.times(value), 1)))
    for path in (None, (0, 0, "a"), (0, 1, "a"), (0, 2, "b")):
        geometry = Geometry(0.25, 0.25, 0.5, 0.5, flip=True, path=path)
        np.testing.assert_array_equal(video.transform(value, geometry), video.transform(frames, geometry))


def test_only_the_frames_of_the_clip_are_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    video = grey(4, 5)
    value, seen = video.read(film()), []
    upright = codec._upright
    monkeypatch.setattr(codec, "_upright", lambda frame, look: seen.append(frame.pts) or upright(frame, look))
    video.transform(value, Geometry())
    assert len(seen) == 4


def test_colour_files_have_three_channels_and_short_ones_hold_their_last_frame() -> None:
    video = Video(size=(8, 32, 48), patch=(2, 16, 16), frame_stride=3, short="hold")
    clip = video.transform(video.read(film(num=10)), Geometry())
    assert clip.shape == (3, 8, 32, 48)
    assert clip.dtype == np.uint8
    left = clip[0, :, 16, 12].astype(int)
    assert left[0] < left[1] < left[2] < left[3]
    assert len(set(left[3:])) == 1
    with pytest.raises(ValueError, match=r"at least 22 frames for a clip of 8, 3 apart, found 10; set frame_stride to"):
        video.replace(short="error").read(film(num=10))


def test_a_file_that_says_it_lies_on_its_side_is_put_upright() -> None:
    data = bytearray(film())
    matrix = data.index(b"tkhd") + 4 + 40
    assert struct.unpack(">9i", data[matrix : matrix + 36]) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, HEIGHT << 16, 0, 1 << 30)  # clockwise
    video = grey(2, 1)
    value, straight = video.read(bytes(data)), video.read(film())
    assert video.frame(value) == (WIDTH, HEIGHT)
    times = codec.times(value)
    turned, still = (next(codec.decode(v, times[30:31], 1)) for v in (value, straight))
    np.testing.assert_array_equal(turned, np.rot90(still, -1))


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused_in_one_line(file: bytes, share: float) -> None:
    with pytest.raises(ValueError, match=r"truncated|damaged") as caught:
        grey().read(file[: int(len(file) * share)])
    assert "\n" not in str(caught.value)


def test_a_stream_of_unknown_length_is_read_as_far_as_it_goes() -> None:
    live = film("matroska", options={"live": "1"})
    assert len(codec.times(grey().read(live))) == NUM
    assert 16 < len(codec.times(grey().read(live[: len(live) // 2]))) < NUM


def test_a_file_damaged_in_the_middle_is_refused_when_the_clip_meets_the_damage() -> None:
    data = bytearray(film())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    middle = (start + end) // 2
    data[middle:end] = bytes(end - middle)
    video = grey(12, 4)
    value = video.read(bytes(data))
    with pytest.raises(ValueError, match=r"damaged video"):
        video.transform(value, Geometry())
    early = list(codec.decode(value, codec.times(value)[:5], 1))
    assert len(early) == 5


def test_files_that_are_no_video_are_refused() -> None:
    sound = io.BytesIO()
    with av.open(sound, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    for data, complaint in (
        (b"", "the file is empty"),
        (b"#EXTM3U\nfile:///etc/passwd", "expected a JPEG, PNG, WebP or npy file"),
        (sound.getvalue(), "expected a video stream, found none"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(64), "truncated or damaged video"),
        (b"PK\x03\x04" + bytes(64), "truncated or damaged npz file"),
    ):
        with pytest.raises(ValueError, match=complaint):
            grey().read(data)
    with pytest.raises(ValueError, match="1 or 3 channels, expected 4"):
        Video(channels=4).read(film())


def test_a_frame_that_is_too_large_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match="48x32 is 0 megapixels a frame; at most"):
        grey().read(film())


def stored(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def test_an_archive_gives_the_array_that_is_asked_for_as_stored() -> None:
    depth = np.random.default_rng(0).integers(0, 4000, (16, HEIGHT, WIDTH)).astype(np.uint16)
    data = stored(depth=depth, frame=np.arange(16))
    video = grey(16, 1, key="depth", scale=1000.0)
    value = video.read(data)
    assert value.dtype == np.uint16
    np.testing.assert_array_equal(value, depth)
    np.testing.assert_array_equal(video.transform(value, Geometry())[0], depth)
    np.testing.assert_array_equal(video.replace(key=None).read(stored(depth=depth)), depth)
    with pytest.raises(ValueError, match="expected one array in the npz file, found depth, frame; set `key`"):
        video.replace(key=None).read(data)
    with pytest.raises(ValueError, match="expected an array 'deep' in the npz file, found depth, frame"):
        video.replace(key="deep").read(data)


def test_arrays_that_are_no_video_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ones = np.ones((20, HEIGHT, WIDTH), np.float32)
    for array, complaint in (
        (ones[0], r"expected frames \(frames, height, width\), found an array of shape \(32, 48\)"),
        (np.stack([ones] * 3, -1), r"found an array of shape \(20, 32, 48, 3\); set `channels`"),
        (ones.astype(np.int32), "expected 8 or 16 bits per value, found int32; set `scale`"),
        (ones * np.nan, "expected finite values"),
        (ones[:5], "at least 16 frames for a clip of 6, 3 apart, found 5; set short to hold, or remove it"),
        (np.array([{}]), "expected a numeric npy array"),
    ):
        with pytest.raises(ValueError, match=complaint):
            grey().read(stored(a=array))
    monkeypatch.setattr("maetoolkit_video.arrays.MAX_ARRAY_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1 GiB is allowed"):
        grey().read(stored(a=ones))
