"""Decoding of image and array files without losing type; every refusal is one ValueError, before memory is spent."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

FORMATS = ("JPEG", "PNG", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".npy")
MAX_PIXELS = 50_000_000
MAX_ARRAY_BYTES = 1 << 30

_NPY = b"\x93NUMPY"
_PNG = b"\x89PNG\r\n\x1a\n"
_NUMERIC = "biuf"


def decode(data: bytes, colour: bool) -> np.ndarray:
    """Decode one JPEG, PNG, WebP or npy file.

    colour=True: images become RGB uint8 (H, W, 3), alpha dropped, turned as their EXIF orientation says.
    colour=False: images keep their type: greyscale (H, W) uint8 or uint16, a palette's indices (H, W) uint8,
    colour (H, W, 3 or 4) uint8. Arrays come as stored, in native byte order, in both cases.
    Raises ValueError for empty, truncated, unknown or oversized (above 50 megapixels) data.
    """
    if not data:
        raise ValueError("the file is empty (zero bytes); expected an image or an npy array")
    return _decode_array(data) if data.startswith(_NPY) else _decode_image(data, colour)


def _decode_image(data: bytes, colour: bool) -> np.ndarray:
    """Decode with Pillow, restricted to the formats in `FORMATS`, after a look at the header."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image: Picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValueError(f"larger than the {MAX_PIXELS // 10**6} megapixels allowed ({error})") from None
    except UnidentifiedImageError:
        head = data[:8].hex(" ")
        raise ValueError(f"expected a JPEG, PNG, WebP or npy file, found bytes that begin with {head}") from None
    except Exception as error:
        raise ValueError(f"damaged image header ({error})") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{width}x{height} is {width * height / 1e6:.0f} megapixels; at most {MAX_PIXELS // 10**6} are allowed"
        )
    if colour and image.mode.startswith("I"):
        raise ValueError("expected an 8-bit colour image, found a 16-bit greyscale one")
    try:
        image = ImageOps.exif_transpose(image)
        return _as_colour(image) if colour else _as_stored(image, data)
    except ValueError:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, zlib.error, struct.error, IndexError ...
        raise ValueError(f"truncated or damaged image ({error})") from None


def _as_colour(image: Picture) -> np.ndarray:
    """RGB uint8 (H, W, 3)."""
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _as_stored(image: Picture, data: bytes) -> np.ndarray:
    """The stored numbers: Pillow widens 2- and 4-bit greyscale to 0..255 and narrows 16-bit colour; neither passes."""
    png_bits, png_colour = (data[24], data[25]) if data.startswith(_PNG) else (8, None)
    if png_bits == 16 and png_colour != 0:
        raise ValueError("16-bit colour PNG cannot be read without loss; store it as npy")
    array = np.array(image)
    if image.mode == "1":
        return array.astype(np.uint8)
    if image.mode.startswith("I"):
        return array.astype(np.uint16)
    if image.mode == "L" and png_bits in (2, 4):
        return array // (85 if png_bits == 2 else 17)
    return array[..., 0] if image.mode in ("LA", "PA") else array


def _decode_array(data: bytes) -> np.ndarray:
    """An npy file's array; its header must agree with the bytes that follow, so nothing is allocated on trust."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(stream)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"damaged npy header ({reason})") from None
    if dtype.kind not in _NUMERIC:
        raise ValueError(f"expected a numeric npy array, found dtype {dtype} (objects and records are not read)")
    expected = dtype.itemsize
    for length in shape:
        expected *= int(length)
    found = len(data) - stream.tell()
    if expected > MAX_ARRAY_BYTES:
        raise ValueError(f"npy array of shape {shape} needs {expected / 2**30:.1f} GiB; at most 1 GiB is allowed")
    if found < expected:
        raise ValueError(f"truncated npy array: shape {shape} of {dtype} needs {expected} bytes, found {found}")
    if expected == 0:
        raise ValueError(f"npy array of shape {shape} holds no element")
    count = expected // dtype.itemsize
    array = np.frombuffer(data, dtype=dtype, count=count, offset=stream.tell())
    array = array.reshape(shape, order="F" if fortran else "C")
    return np.array(array, dtype=dtype.newbyteorder("="), order="C")
