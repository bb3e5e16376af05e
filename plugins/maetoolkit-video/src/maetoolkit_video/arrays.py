"""Videos kept as arrays: .npy, and .npz archives of them."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from maetoolkit.modalities.decode import MAX_ARRAY_BYTES, decode

if TYPE_CHECKING:
    import numpy as np

_ZIP = b"PK\x03\x04"


def frames(data: bytes, key: str | None, channels: int, scale: float | None, invalid: float | None) -> np.ndarray:
    """Frames (T, H, W) of one channel or (T, H, W, C), as stored.

    `key` names the array of an archive that holds several. Raises ValueError for files that are no such array, damaged,
    of another number of channels, without a known largest value, or not finite (unless `invalid` values are expected).
    """
    import numpy as np

    array = decode(_member(data, key) if data.startswith(_ZIP) else data, colour=False)
    found = array.shape[3] if array.ndim == 4 else 1
    if array.ndim not in (3, 4) or found != channels:
        shape = "(frames, height, width)" if channels == 1 else f"(frames, height, width, {channels})"
        raise ValueError(f"expected frames {shape}, found an array of shape {array.shape}; set `channels`")
    if scale is None and array.dtype.kind in "iu" and array.dtype.itemsize > 2:
        raise ValueError(f"expected 8 or 16 bits per value, found {array.dtype}; set `scale` to the largest value")
    if invalid is None and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("expected finite values, found NaN or infinity; set `invalid` if they mark missing values")
    return array


def _member(data: bytes, key: str | None) -> bytes:
    """The npy file of one array in an archive, after a look at its size; nothing in it is unpickled."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            chosen = next(iter(names)) if key is None and len(names) == 1 else key
            if chosen not in names:
                what = "one array" if key is None else f"an array {key!r}"
                raise ValueError(f"expected {what} in the npz file, found {', '.join(names) or 'none'}; set `key`")
            if names[chosen].file_size > MAX_ARRAY_BYTES:
                size = names[chosen].file_size / 2**30
                raise ValueError(f"the array {chosen!r} needs {size:.1f} GiB; at most 1 GiB is allowed")
            return archive.read(names[chosen])
    except ValueError:
        raise
    except Exception as error:  # zipfile raises BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError ...
        raise ValueError(f"truncated or damaged npz file ({error})") from None
