"""InsightFace's verification sets: a ``.bin`` file, which is a pickle of encoded images and which pairs are genuine.

A pickle from the wild can run any code. This one is read by an unpickler that builds bytes, lists, tuples, strings,
numbers, booleans and numpy arrays of bytes or booleans, and knows no other name: not even numpy's functions are called.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from autofr.data.faces import Faces
from autofr.exceptions import AutofrError
from autofr.io.images import decode_image

MAX_SIDE = 1024
"""Of an image, pixels: aligned faces have 112."""
_SIMPLE = {"u1": np.uint8, "i1": np.int8, "b1": np.bool_, "bool": np.bool_}
_OPCODES = {
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "MEMOIZE"),
    *("PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"),
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("EMPTY_LIST", "APPEND", "APPENDS", "LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
}
"""What such a file is made of. Anything else (objects, dictionaries, sets, extensions) has no place in it."""


class _Refused(pickle.UnpicklingError):
    """The file asks for something that it should not."""


class _Known:
    """A name that a file may call. It has no attribute that a file could set."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _Refused("it changes what it may only call")


class _DType:
    """Stands in for ``numpy.dtype``: one of the few kinds of array that such a file has."""

    __slots__ = ("dtype",)

    def __init__(self, kind: Any, *_: Any) -> None:
        name = kind.decode("latin1") if isinstance(kind, bytes) else kind
        if not isinstance(name, str) or name.lstrip("|") not in _SIMPLE:
            raise _Refused(f"it has arrays of {name[:20] if isinstance(name, str) else type(kind).__name__}")
        self.dtype = np.dtype(_SIMPLE[name.lstrip("|")])

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like: nothing that a byte has."""


class _Array:
    """Stands in for an array until its state comes."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: np.ndarray[tuple[int, ...], np.dtype[Any]] = np.zeros(0, dtype=np.uint8)

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise _Refused("it has an array of no known layout")
        _, shape, kind, _, raw = state
        self.value = _filled(raw, kind, shape)


def _filled(raw: Any, kind: Any, shape: Any) -> np.ndarray[tuple[int, ...], np.dtype[Any]]:
    if not isinstance(raw, bytes | bytearray) or not isinstance(kind, _DType) or not isinstance(shape, tuple):
        raise _Refused("it has an array of no known layout")
    if len(shape) > 2 or not all(type(n) is int and n >= 0 for n in shape) or math.prod(shape) != len(raw):
        raise _Refused(f"it has an array of another shape than its {len(raw)} bytes")
    return np.frombuffer(raw, dtype=kind.dtype).reshape(shape)


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _scalar(kind: Any, raw: Any) -> bool:
    return bool(_filled(raw, kind, (1,))[0])


def _frombuffer(raw: Any, kind: Any, shape: Any, *_: Any) -> _Array:
    array = _Array()
    array.value = _filled(raw, kind, shape)
    return array


def _never(*_: Any) -> Any:
    raise _Refused("it makes an array in no known way")


def _known(most: int) -> dict[tuple[str, str], _Known]:
    """The names that a file may call, for one reading in which they make ``most`` bytes in all: what a file says once,
    it could have made any number of times."""
    left = most

    def spent(made: bytes) -> bytes:
        nonlocal left
        left -= len(made)
        if left < 0:
            raise _Refused("it makes more bytes than it has")
        return made

    def encode(text: Any, coding: Any = "latin1") -> bytes:
        """How Python 3 writes bytes in a pickle of protocol 2."""
        if not isinstance(text, str) or not isinstance(coding, str) or coding != "latin1":
            raise _Refused("it has text of no known coding")
        return spent(text.encode("latin1"))

    def make_bytes(*parts: Any) -> bytes:
        """How Python 3 writes empty bytes, and bytearrays, in older protocols."""
        if not parts:
            return b""
        if len(parts) == 1 and isinstance(parts[0], bytes | bytearray):
            return spent(bytes(parts[0]))
        if len(parts) == 2 and isinstance(parts[0], str):
            return encode(*parts)
        raise _Refused("it has bytes of no known layout")

    return {
        ("numpy", "dtype"): _Known(_DType),
        ("numpy", "ndarray"): _Known(_never),  # named, as an argument, but never called
        **{(f"numpy.{core}.multiarray", "_reconstruct"): _Known(_reconstruct) for core in ("core", "_core")},
        **{(f"numpy.{core}.multiarray", "scalar"): _Known(_scalar) for core in ("core", "_core")},
        **{(f"numpy.{core}.numeric", "_frombuffer"): _Known(_frombuffer) for core in ("core", "_core")},
        ("_codecs", "encode"): _Known(encode),
        **{(m, name): _Known(make_bytes) for m in ("builtins", "__builtin__") for name in ("bytes", "bytearray")},
    }


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._known = _known(2 * len(content))  # a bytearray is made of bytes that are made of text

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            raise _Refused(f"it asks for {module[:40]}.{name[:40]}")
        return self._known[module, name]


def _scan(content: bytes) -> None:
    """Nothing, if a pickle is made of plain data. Read, not run: what it would do is not begun."""
    for operations, (opcode, argument, _) in enumerate(pickletools.genops(content), start=1):
        if opcode.name not in _OPCODES:
            raise _Refused(f"it has {opcode.name}, which is no plain data")
        # The memo is an array as long as its largest index: a small file could ask for all of the memory.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= int(argument or 0) <= operations:
            raise _Refused("its memo is out of order")


def _load(path: Path) -> Any:
    try:
        content = path.read_bytes()
        _scan(content)
        return _Unpickler(content).load()
    except OSError:
        raise
    except _Refused as error:
        raise AutofrError(f"{path} is no verification set: {error}; nothing in it was run") from error
    except Exception as error:  # a cut pickle raises whatever its last bytes made of it
        raise AutofrError(
            f"{path} is no verification set: it is truncated, or no pickle; nothing in it was run"
        ) from error


def read_bin(path: Path, size: int) -> tuple[Faces, list[bool]]:
    """The images of a ``.bin`` file, and which pairs are genuine.

    Args:
        path: the file: a pickled pair (list of 2P encoded images, list of P booleans).
        size: side that images are resized to, pixels.

    Returns:
        2P faces, in the file's order (pair i is the images 2i and 2i + 1; identities are not known: each image has a
        label of its own), and P booleans.

    Raises:
        AutofrError: no such file, another content, one that asks for anything but plain data, or an image that cannot
            be decoded, is larger than ``MAX_SIDE``, or not square.
    """
    if not path.is_file():
        raise AutofrError(f"no such file {path}")
    if not path.stat().st_size:
        raise AutofrError(f"{path} is empty")
    encoded, same = _checked(path, _load(path))
    pixels = torch.empty(len(encoded), 3, size, size, dtype=torch.uint8)
    for place, data in enumerate(encoded):
        pixels[place] = torch.from_numpy(_decoded(path, place, data, size))
    names = [f"pair_{place // 2:05d}/{'ab'[place % 2]}" for place in range(len(pixels))]
    faces = Faces(
        source=str(path),
        read=lambda wanted: pixels[wanted],
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
    raw = [image.value if isinstance(image, _Array) else image for image in images]
    if sum(len(image) for image in raw if isinstance(image, bytes | bytearray | np.ndarray)) > path.stat().st_size:
        raise AutofrError(f"{path} has more bytes of images than it is long: it names one several times")
    return images, [bool(label) for label in same]


def _decoded(path: Path, place: int, data: Any, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    raw = data.value.tobytes() if isinstance(data, _Array) else data
    if not isinstance(raw, bytes | bytearray):
        raise AutofrError(f"{path}: image {place} is {type(raw).__name__}, not the bytes of a JPEG")
    try:
        image = decode_image(io.BytesIO(raw), f"image {place}", MAX_SIDE**2)
    except OSError as error:
        raise AutofrError(f"{path}: {error}") from error
    if image.width != image.height:
        raise AutofrError(f"{path}: image {place} has {image.width}x{image.height} pixels; aligned faces are square")
    if image.width != size:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1).copy()
