"""Image files, read with care: what is no image, or claims to be a huge one, is refused before it is decoded."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

from autofr.exceptions import AutofrError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
"""Of the files that are taken for images."""
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
"""Those of the suffixes. Pillow knows more, whatever a file is called, and some of them start other programs."""
Pixels: TypeAlias = npt.NDArray[np.uint8]
MAX_BYTES = 2**28
MAX_PIXELS = 64_000_000
"""Images that claim more pixels are refused unread: a decompression bomb, or no photograph of a face."""


def list_images(folder: Path) -> list[str]:
    """Paths of the images below a folder, at any depth, relative to it and sorted.

    Raises:
        AutofrError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise AutofrError(f"no such folder {folder}")
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    names = sorted(p.relative_to(folder).as_posix() for p in found)
    if not names:
        raise AutofrError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    return names


def open_image(path: Path) -> Image.Image:
    """Decode one image to RGB.

    Raises:
        OSError: it is missing, truncated, no image, or claims more than ``MAX_PIXELS``; the message names it.
    """
    return decode_image(path, str(path))


def decode_image(source: Path | BinaryIO, name: str, most: int | None = None) -> Image.Image:
    """As :func:`open_image`, from a path or an open file; ``name`` is for errors, ``most`` bounds its pixels."""
    if isinstance(source, Path) and source.exists() and not source.is_file():
        raise OSError(f"{name} is no regular file")  # a named pipe would be waited for
    try:
        with Image.open(source, formats=_FORMATS) as image:
            if image.size[0] * image.size[1] > (MAX_PIXELS if most is None else most):
                raise OSError(f"claims {image.size[0]}x{image.size[1]} pixels")
            return ImageOps.exif_transpose(image).convert("RGB")  # as the camera was held
    except Exception as error:  # a broken file makes Pillow raise almost anything
        told = "it is no image" if "<_io" in str(error) else error or type(error).__name__  # an address says nothing
        raise OSError(f"{name}: {told}") from error


def decode_pixels(raw: bytes, width: int, height: int, name: str) -> tuple[Pixels, tuple[int, int]]:
    """Decode an image that is in memory to uint8 RGB (3, height, width); also its stored (width, height).

    JPEG goes to torchvision's decoder, which other threads need not wait for; what that does not take, and all other
    formats, to Pillow.

    Args:
        raw: the bytes of the file.
        width, height: what it is resized to, antialiased.
        name: for errors.

    Raises:
        OSError: as :func:`open_image`.
    """
    pixels = _decode_jpeg(raw) if raw[:2] == b"\xff\xd8" else None
    if pixels is not None:
        if pixels.shape[1:] == (height, width):
            return pixels, (width, height)
        image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    else:
        image = decode_image(io.BytesIO(raw), name)
    size = image.size
    if size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1), size


def _decode_jpeg(raw: bytes) -> Pixels | None:
    """(3, H, W) RGB; ``None``: Pillow is to look at it, which says what is wrong."""
    if not 0 < _claimed_pixels(raw) <= MAX_PIXELS:
        return None
    try:
        found: Pixels = _jpeg_decoder()(raw).numpy()
    except RuntimeError:
        return None
    return found


@cache
def _jpeg_decoder() -> Callable[[bytes], Tensor]:
    """torchvision's, which takes a while to import."""
    from torchvision.io import ImageReadMode, decode_jpeg

    def decode(raw: bytes) -> Tensor:
        data = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
        found: Tensor = decode_jpeg(data, mode=ImageReadMode.RGB, apply_exif_orientation=True)
        return found

    return decode


def _claimed_pixels(raw: bytes) -> int:
    """Width times height that a JPEG's frame header claims; 0: it has none where one is expected."""
    place = 2
    while place + 9 <= len(raw) and raw[place] == 0xFF:
        kind, length = raw[place + 1], int.from_bytes(raw[place + 2 : place + 4], "big")
        if kind == 0xFF:  # filled up
            place += 1
            continue
        if kind == 0x01 or 0xD0 <= kind <= 0xD9:  # these have no length, and no place here
            return 0
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(raw[place + 5 : place + 7], "big") * int.from_bytes(raw[place + 7 : place + 9], "big")
        place += 2 + length
    return 0


def read_image(path: Path, width: int, height: int) -> tuple[Pixels, tuple[int, int]]:
    """As :func:`decode_pixels`, from a file.

    Raises:
        OSError: as :func:`open_image`.
    """
    return decode_pixels(read_bytes(path), width, height, str(path))


def read_bytes(path: Path | str) -> bytes:
    """The bytes of an image file.

    Raises:
        OSError: it is missing, no regular file (a named pipe would be waited for), or longer than ``MAX_BYTES``.
    """
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode):
            raise OSError("it is no regular file")
        if about.st_size > MAX_BYTES:
            raise OSError(f"it has over {MAX_BYTES} bytes")
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError as error:
        raise OSError(f"{path}: {error}") from error
