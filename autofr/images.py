"""Image files, read with care: what is no image, or claims to be a huge one, is refused before it is decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
"""Of the files that are taken for images."""
MAX_PIXELS = 64_000_000
"""Images that claim more pixels are refused unread: a decompression bomb, or no photograph of a face."""


def open_image(path: Path) -> Image.Image:
    """Decode one image to RGB.

    Raises:
        OSError: it is missing, truncated, no image, or claims more than ``MAX_PIXELS``; the message names it.
    """
    try:
        with Image.open(path) as image:
            if image.size[0] * image.size[1] > MAX_PIXELS:
                raise OSError(f"claims {image.size[0]}x{image.size[1]} pixels")
            return ImageOps.exif_transpose(image).convert("RGB")  # as the camera was held
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(f"{path}: {error}") from error


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
