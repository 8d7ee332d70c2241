"""Image files, read with care: what is no image, or claims to be a huge one, is refused before it is decoded."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from autofr.exceptions import AutofrError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
"""Of the files that are taken for images."""
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
"""Those of the suffixes. Pillow knows more, whatever a file is called, and some of them start other programs."""
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
        raise OSError(f"{name}: {error or type(error).__name__}") from error


def read_image(
    path: Path, width: int, height: int
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], tuple[int, int]]:
    """Decode one image to uint8 RGB (3, height, width); also its stored (width, height).

    Raises:
        OSError: as :func:`open_image`.
    """
    image = open_image(path)
    size = image.size
    if size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)  # antialiased
    return np.asarray(image).transpose(2, 0, 1), size
