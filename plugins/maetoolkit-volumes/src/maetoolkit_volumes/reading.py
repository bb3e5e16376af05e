"""Volumes from bytes: NIfTI, compressed or not, and npy; every refusal is one ValueError, before memory is spent."""

from __future__ import annotations

import gzip
import io
import math
from typing import Any

import numpy as np

from maetoolkit.modalities.decode import MAX_ARRAY_BYTES, decode

_GZIP = b"\x1f\x8b"
_NPY = b"\x93NUMPY"


def volume(data: bytes, canonical: bool) -> np.ndarray:
    """(X, Y, Z) or (X, Y, Z, C) of a NIfTI or npy file: as stored, scaled where its header says so.

    canonical: turn a NIfTI volume so that its axes run right, anterior, superior.
    Raises ValueError for files that are empty, damaged, truncated, of another kind, or above 1 GiB.
    """
    if not data:
        raise ValueError("the file is empty (zero bytes); expected a NIfTI or npy volume")
    raw = _decompressed(data) if data.startswith(_GZIP) else data
    value = decode(raw, colour=False) if raw.startswith(_NPY) else _nifti(raw, canonical)
    if value.ndim not in (3, 4):
        raise ValueError(f"expected a volume on three axes, channels last, found an array of shape {value.shape}")
    return value


def channels_of(value: np.ndarray, num: int, channel: int | None) -> np.ndarray:
    """(X, Y, Z), or (X, Y, Z, num) for several channels; `channel` picks one. Raises ValueError for another number."""
    found = value.shape[3] if value.ndim == 4 else 1
    if channel is not None:
        if channel >= found:
            raise ValueError(f"channel: expected a file with more than {channel} channels, found {found}; lower it")
        return value if value.ndim == 3 else value[..., channel]
    if found != num:
        raise ValueError(
            f"expected {num} channel{'s' * (num > 1)}, found {found} in an array of shape {value.shape}; "
            "set `channels`, or pick one by `channel`"
        )
    return value[..., 0] if value.ndim == 4 and num == 1 else value


def _decompressed(data: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            raw = file.read(MAX_ARRAY_BYTES + 1)
    except Exception as error:  # BadGzipFile, EOFError, zlib.error
        raise ValueError(f"truncated or damaged gzip file ({error}); repair or remove the file") from None
    if len(raw) > MAX_ARRAY_BYTES:
        raise ValueError("larger than the 1 GiB allowed once decompressed")
    return raw


def _nifti(raw: bytes, canonical: bool) -> np.ndarray:
    """Data of a NIfTI-1 or -2 file in one piece; its header must agree with the bytes that follow."""
    import nibabel

    kind = {b"n+1\0": nibabel.Nifti1Image, b"n+2\0": nibabel.Nifti2Image}
    found = kind.get(raw[344:348]) or kind.get(raw[4:8])
    if found is None:
        head = raw[:8].hex(" ")
        raise ValueError(f"expected a NIfTI (.nii, .nii.gz) or npy file, found bytes that begin with {head}")
    try:
        image: Any = found.from_bytes(raw)  # nibabel is partly untyped
        dtype, shape = image.get_data_dtype(), image.shape
    except Exception as error:  # nibabel raises HeaderDataError, ImageFileError, ValueError, OverflowError ...
        raise ValueError(f"damaged NIfTI header ({_first_line(error)}); repair or remove the file") from None
    if dtype.kind not in "iuf":
        raise ValueError(f"expected one number per voxel, found NIfTI data of type {dtype}; convert the file")
    needed = math.prod(shape) * dtype.itemsize + int(image.dataobj.offset)
    if len(raw) < needed:
        raise ValueError(f"truncated NIfTI file: shape {shape} of {dtype} needs {needed} bytes, found {len(raw)}")
    if math.prod(shape) == 0:
        raise ValueError(f"NIfTI volume of shape {shape} holds no voxel")
    try:
        turned: Any = nibabel.as_closest_canonical(image) if canonical else image  # type: ignore[no-untyped-call]
        value: np.ndarray = np.asarray(turned.dataobj)
    except Exception as error:
        raise ValueError(f"damaged NIfTI file ({_first_line(error)}); repair or remove the file") from None
    return np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
