"""Image files, read with care: what is no image, or claims to be a huge one, is refused before it is decoded."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from simplejpeg import decode_jpeg

from autofr.exceptions import AutofrError
from autofr.io.image_source import read_bytes

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
"""Of the files that are taken for images."""
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
"""Those of the suffixes. Pillow knows more, whatever a file is called, and some of them start other programs."""
Pixels: TypeAlias = npt.NDArray[np.uint8]
_SMOOTH = Image.Resampling.BILINEAR
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
    except UnidentifiedImageError as error:
        raise OSError(f"{name}: it is no image") from error
    except Exception as error:  # a broken file makes Pillow raise almost anything
        raise OSError(f"{name}: {error or type(error).__name__}") from error


def decode_pixels(raw: bytes, width: int, height: int, name: str) -> tuple[Pixels, tuple[int, int]]:
    """As :func:`decode_into`, to new uint8 RGB pixels (3, height, width), and the stored (width, height)."""
    pixels = np.empty((height, width, 3), dtype=np.uint8).transpose(2, 0, 1)
    return pixels, decode_into(raw, pixels, name)


def decode_into(raw: bytes, pixels: Pixels, name: str) -> tuple[int, int]:
    """Decode an image that is in memory.

    JPEG goes to simplejpeg, which other threads need not wait for, and which decodes into ``pixels`` themselves. What
    it finds fault with, what has to be turned, and other formats go to Pillow. Both give the same pixels.

    Args:
        raw: the bytes of the file.
        pixels: (3, height, width) uint8 RGB, to be filled; the image is resized to that, antialiased. Fastest where the
            three values of a pixel stand together in memory. After an error they may hold anything.
        name: for errors.

    Returns:
        Its stored width and height.

    Raises:
        OSError: as :func:`open_image`.
    """
    _, height, width = pixels.shape
    rows, size = pixels.transpose(1, 2, 0), _upright_jpeg(raw)
    if size is not None and size[0] * size[1] <= MAX_PIXELS:
        fits = size == (width, height)
        try:
            if fits and rows.flags.c_contiguous:
                decode_jpeg(raw, "RGB", strict=True, buffer=rows)
                return size
            found = decode_jpeg(raw, "RGB", strict=True)
            rows[:] = found if fits else _resized(Image.fromarray(found), width, height)
            return size
        except ValueError:  # Pillow may take it for all that, or says what is wrong
            pass
    image = decode_image(io.BytesIO(raw), name)
    rows[:] = _resized(image, width, height)
    return image.size


def _resized(image: Image.Image, width: int, height: int) -> Pixels:
    return np.asarray(image if image.size == (width, height) else image.resize((width, height), _SMOOTH))


def _upright_jpeg(raw: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG's frame header claims; ``None``: it is no JPEG, has no frame header where one is
    expected, or says how the camera was held."""
    place = 2
    if raw[:2] != b"\xff\xd8":
        return None
    while place + 9 <= len(raw) and raw[place] == 0xFF:
        kind, length = raw[place + 1], int.from_bytes(raw[place + 2 : place + 4], "big")
        if kind == 0xFF:  # filled up
            place += 1
            continue
        if kind == 0x01 or 0xD0 <= kind <= 0xD9 or raw[place + 4 : place + 8] == b"Exif":
            return None  # the first ones have no length, and no place here
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(raw[place + 7 : place + 9], "big"), int.from_bytes(raw[place + 5 : place + 7], "big")
        place += 2 + length
    return None


def read_image(path: Path, width: int, height: int) -> tuple[Pixels, tuple[int, int]]:
    """As :func:`decode_pixels`, from a file.

    Raises:
        OSError: as :func:`open_image`.
    """
    return decode_pixels(read_bytes(path), width, height, str(path))
