"""Numpy's arrays as files, read with care: what a header claims is checked before an array of that size is made."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(file: IO[bytes], size: int) -> npt.NDArray[Any]:
    """The array of a ``.npy`` file. Nothing is unpickled.

    Args:
        file: at its beginning.
        size: of the file, bytes.

    Raises:
        ValueError: it is none, of objects, or claims another size than it has.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"a .npy file of version {version}")
        shape, by_columns, dtype = _HEADERS[version](file)
    except Exception as error:  # numpy reads the header as Python's literals, and says so in several ways
        raise ValueError("no .npy array") from error
    if dtype.hasobject:
        raise ValueError("an array of pickled objects")
    claimed = math.prod(shape) * dtype.itemsize
    if dtype.itemsize == 0 or min(shape, default=1) < 0 or claimed != size - file.tell():
        raise ValueError(f"an array that claims {claimed} bytes, and has {size - file.tell()}")
    found = np.frombuffer(file.read(claimed), dtype=dtype)
    return found.reshape(shape, order="F" if by_columns else "C").copy()


def texts(array: npt.NDArray[Any]) -> list[str]:
    """The strings, or numbers as strings, of an array (N,).

    Raises:
        ValueError: it holds what is no text.
    """
    if array.dtype.kind == "U":  # whose characters numpy takes as they come
        codes = array.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
            raise ValueError("text with numbers that stand for no character")
    return [str(value) for value in array.tolist()]


def npy_of(path: Path) -> npt.NDArray[Any]:
    """:func:`read_npy` of a path.

    Raises:
        ValueError: as there.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return read_npy(file, path.stat().st_size)
