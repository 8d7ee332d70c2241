"""InsightFace's verification sets: a ``.bin`` file, which is a pickle of encoded images and which pairs are genuine.

A pickle from the wild can run any code. This one is read by an unpickler that builds bytes, lists, tuples, strings,
numbers, booleans and numpy arrays of bytes or booleans, and knows no other name: not even numpy's functions are called.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from autofr.data.faces import Faces
from autofr.exceptions import AutofrError
from autofr.images import decode_image

_SIMPLE = {"u1": np.uint8, "i1": np.int8, "b1": np.bool_, "bool": np.bool_}


class _DType:
    """Stands in for ``numpy.dtype``: one of the few kinds of array that such a file has."""

    def __init__(self, kind: str, *_: Any) -> None:
        if not isinstance(kind, str) or kind.lstrip("|") not in _SIMPLE:
            raise pickle.UnpicklingError(f"an array of {kind!r}")
        self.dtype = np.dtype(_SIMPLE[kind.lstrip("|")])

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like: nothing that a byte has."""


class _NdArray:
    """Stands in for the class ``numpy.ndarray``, which is named but never called."""


class _Array:
    """Stands in for an array until its state comes."""

    value: np.ndarray[tuple[int, ...], np.dtype[Any]] = np.zeros(0, dtype=np.uint8)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, _, raw = state
        self.value = _filled(raw, kind, shape)


def _filled(raw: Any, kind: Any, shape: Any) -> np.ndarray[tuple[int, ...], np.dtype[Any]]:
    if not isinstance(raw, bytes | bytearray) or not isinstance(kind, _DType) or not isinstance(shape, tuple):
        raise pickle.UnpicklingError("an array of no known layout")
    if not all(type(n) is int and n >= 0 for n in shape) or math.prod(shape) != len(raw):
        raise pickle.UnpicklingError(f"an array of shape {shape} in {len(raw)} bytes")
    return np.frombuffer(bytes(raw), dtype=kind.dtype).reshape(shape)


def _reconstruct(_class: Any, _shape: Any, _kind: Any) -> _Array:
    return _Array()


def _scalar(kind: Any, raw: Any) -> bool:
    return bool(_filled(raw, kind, (1,))[0])


def _frombuffer(raw: Any, kind: Any, shape: Any, _order: Any) -> _Array:
    array = _Array()
    array.value = _filled(raw, kind, shape)
    return array


def _encode(text: Any, coding: Any) -> bytes:
    """How Python 3 writes bytes in a pickle of protocol 2."""
    if not isinstance(text, str) or coding != "latin1":
        raise pickle.UnpicklingError(f"text in {coding!r}")
    return text.encode("latin1")


def _bytes(*parts: Any) -> bytes:
    """How Python 3 writes empty bytes, and bytearrays, in older protocols."""
    if not parts:
        return b""
    if len(parts) == 1 and isinstance(parts[0], bytes | bytearray):
        return bytes(parts[0])
    if len(parts) == 2 and isinstance(parts[0], str):
        return _encode(*parts)
    raise pickle.UnpicklingError("bytes of no known layout")


_KNOWN: dict[tuple[str, str], Callable[..., Any] | type] = {
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): _NdArray,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    ("_codecs", "encode"): _encode,
    **{(module, name): _bytes for module in ("builtins", "__builtin__") for name in ("bytes", "bytearray")},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _KNOWN[module, name]


def read_bin(path: Path) -> tuple[Faces, list[bool]]:
    """The images of a ``.bin`` file, and which pairs are genuine.

    Args:
        path: the file: a pickled pair (list of 2P encoded images, list of P booleans).

    Returns:
        2P faces at the first one's size, in the file's order (pair i is the images 2i and 2i + 1; identities are not
        known: each image has a label of its own), and P booleans.

    Raises:
        AutofrError: no such file, another content, one that asks for anything but plain data, or an image that cannot
            be decoded.
    """
    if not path.is_file():
        raise AutofrError(f"no such file {path}")
    if not path.stat().st_size:
        raise AutofrError(f"{path} is empty")
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="bytes").load()
    except Exception as error:  # a cut pickle raises whatever its last bytes made of it
        reason = f"{error}" if isinstance(error, pickle.UnpicklingError) else f"truncated or no pickle ({error})"
        raise AutofrError(f"{path} is no verification set: {reason}; nothing in it was run") from error
    encoded, same = _checked(path, content)
    pixels = [_decoded(path, place, data) for place, data in enumerate(encoded)]
    sizes = {image.size for image in pixels}
    if len(sizes) > 1 or len(next(iter(sizes))) != 2 or len(set(next(iter(sizes)))) > 1:
        raise AutofrError(f"{path} holds images of sizes {sorted(sizes)[:5]}; expected square ones of one size")
    size = pixels[0].size[0]
    stacked = torch.from_numpy(np.stack([np.asarray(image).transpose(2, 0, 1) for image in pixels]))
    names = [f"pair_{place // 2:05d}/{'ab'[place % 2]}" for place in range(len(pixels))]
    faces = Faces(
        source=str(path),
        read=lambda wanted: stacked[wanted],
        labels=torch.arange(len(names)),
        identities=names,
        names=names,
        landmarks=None,
        image_size=size,
    )
    return faces, same


def _checked(path: Path, content: Any) -> tuple[list[Any], list[bool]]:
    if not isinstance(content, tuple | list) or len(content) != 2:
        raise AutofrError(f"{path} holds no pair of images and labels")
    images, labels = (part.value if isinstance(part, _Array) else part for part in content)
    if not isinstance(images, list) or not isinstance(labels, list | np.ndarray):
        raise AutofrError(f"{path} holds no lists of images and labels")
    same = labels if isinstance(labels, list) else labels.ravel().tolist()
    if not same or not all(isinstance(label, bool | int) and label in (0, 1) for label in same):
        raise AutofrError(f"{path}: its labels are not booleans, or there are none")
    if len(images) != 2 * len(same):
        raise AutofrError(f"{path} has {len(images)} images for {len(same)} labels; a label goes with two images")
    return images, [bool(label) for label in same]


def _decoded(path: Path, place: int, data: Any) -> Image.Image:
    raw = data.value.tobytes() if isinstance(data, _Array) else data
    if not isinstance(raw, bytes | bytearray):
        raise AutofrError(f"{path}: image {place} is {type(raw).__name__}, not the bytes of a JPEG")
    try:
        return decode_image(io.BytesIO(raw), f"image {place}")
    except OSError as error:
        raise AutofrError(f"{path}: {error}") from error
