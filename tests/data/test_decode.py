from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maetoolkit.modalities.decode import decode


def encoded(image: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(stream, kind, **options)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def grey_png(levels: np.ndarray, bits: int) -> bytes:
    """A greyscale PNG of 1, 2 or 4 bits, which Pillow itself does not write."""
    height, width = levels.shape
    rows = (np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits :]).tobytes() for row in levels)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def colour_image(height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_sixteen_bit_depth_stays_sixteen_bit() -> None:
    depth = np.random.default_rng(0).integers(0, 65536, (9, 7), dtype=np.uint16)
    read = decode(encoded(depth), colour=False)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, depth)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_images_give_label_indices(bits: int) -> None:
    labels = (np.arange(64) % 2**bits).astype(np.uint8).reshape(8, 8)
    picture = Image.fromarray(labels).convert("L")
    picture = Image.frombytes("P", (8, 8), picture.tobytes())
    picture.putpalette(list(np.random.default_rng(0).integers(0, 256, 768)))
    np.testing.assert_array_equal(decode(encoded(picture, bits=bits), colour=False), labels)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_low_bit_greyscale_labels_are_not_widened(bits: int) -> None:
    labels = (np.arange(64) % 2**bits).astype(np.uint8).reshape(8, 8)
    read = decode(grey_png(labels, bits), colour=False)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, labels)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
def test_every_eight_bit_mode_becomes_rgb_in_colour(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    read = decode(encoded(Image.fromarray(colour_image()).convert(mode), kind), colour=True)
    assert read.shape == (20, 30, 3)
    assert read.dtype == np.uint8


def test_lossless_formats_give_back_the_pixels() -> None:
    image = colour_image()
    for data in (encoded(image), encoded(image, "WEBP", lossless=True)):
        np.testing.assert_array_equal(decode(data, colour=True), image)


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    read = decode(encoded(colour_image(20, 30), "JPEG", exif=exif), colour=True)
    assert read.shape == (30, 20, 3)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.uint16, np.int64, np.float16, np.float32, np.float64, bool, ">f4"]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_as_stored(dtype: object, order: str) -> None:
    array = np.asarray(np.random.default_rng(0).integers(0, 2, (3, 4, 5)).astype(dtype), order=order)
    read = decode(npy(array), colour=False)
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read, array)


def test_pickled_arrays_are_refused() -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="numeric"):
        decode(stream.getvalue(), colour=False)


def test_sixteen_bit_colour_is_not_narrowed_and_depth_is_not_shown_as_colour() -> None:
    body = zlib.compress(b"\0" + b"\1\2" * 3)
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    with pytest.raises(ValueError, match="16-bit colour"):
        decode(data, colour=False)
    with pytest.raises(ValueError, match="16-bit greyscale"):
        decode(encoded(np.zeros((4, 4), np.uint16)), colour=True)


def test_zero_bytes_and_unknown_formats_are_named() -> None:
    with pytest.raises(ValueError, match="zero bytes"):
        decode(b"", colour=True)
    with pytest.raises(ValueError, match="begin with 47 49 46"):
        decode(encoded(colour_image(), "GIF"), colour=True)


def test_a_bomb_is_refused_from_its_header() -> None:
    for side in (8_000, 11_000, 20_000, 200_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        with pytest.raises(ValueError, match=r"50 megapixels|at most 50"):
            decode(data, colour=True)


def test_an_array_header_that_promises_too_much_is_refused() -> None:
    honest = npy(np.zeros((10, 10), np.float32))
    with pytest.raises(ValueError, match="at most 1 GiB"):
        decode(honest.replace(b"(10, 10)", b"(1000000, 1000000)".ljust(8)), colour=False)
    with pytest.raises(ValueError, match="truncated npy"):
        decode(honest[:-1], colour=False)


@given(data=st.data(), kind=st.sampled_from(["JPEG", "PNG", "WEBP", "npy"]))
def test_every_cut_of_a_file_gives_an_error_or_the_whole_picture(data: st.DataObject, kind: str) -> None:
    image = colour_image()
    whole = npy(image) if kind == "npy" else encoded(image, kind)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with contextlib.suppress(ValueError):
        np.testing.assert_array_equal(decode(cut, colour=True), decode(whole, colour=True))


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x93NUMPY\x01\x00", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF"]),
)
def test_noise_gives_a_value_error(noise: bytes, prefix: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(prefix + noise, colour=True)
