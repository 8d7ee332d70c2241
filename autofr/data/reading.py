"""Reading images from a disk that may fail: with retries, and never for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autofr.exceptions import AutofrError
from autofr.io.decoder import decode
from autofr.io.image_source import StoredImage
from autofr.io.images import Pixels
from autofr.masks import landmark_scheme

PATIENCE = 300.0
"""Seconds that a folder may be away (unmounted, a server that restarts) before reading gives up."""
CHUNK = 1024
"""Images that are decoded at a time where all are."""
BRIEFLY = 3.0
"""Seconds over which a single image is tried again: it may be being replaced."""


class Scan(Protocol):
    """Images of faces that were found but not yet read.

    Attributes:
        source: where: a folder or a file.
        names: ``IDENTITY/IMAGE`` of each.
        landmarks: a file for :func:`autofr.masks.read_landmarks`; ``None``: there is none.
        scheme: what its points are; ``None``: the file or their number says it.
    """

    @property
    def source(self) -> Path: ...
    @property
    def names(self) -> list[str]: ...
    @property
    def landmarks(self) -> Path | None: ...
    @property
    def scheme(self) -> str | None: ...

    def image(self, place: int) -> StoredImage:
        """The image at ``place``."""

    def there(self) -> bool:
        """Whether the source can be reached at all."""


class UnreadableImagesError(AutofrError):
    """Some of the images asked for cannot be read.

    Attributes:
        places: which, by their place in what was asked for.
    """

    def __init__(self, message: str, places: Sequence[int]) -> None:
        super().__init__(message)
        self.places = list(places)


def find_landmarks(source: Path, landmarks: str | Path | None, scheme: str | None) -> Path | None:
    """The landmarks file of a source: the one named, or ``SOURCE_landmarks.npz`` beside it, if there is one.

    Raises:
        AutofrError: no such file, or no such scheme.
    """
    if scheme is not None:
        landmark_scheme(scheme)
    beside = source.with_name(f"{source.stem if source.is_file() else source.name}_landmarks.npz")
    found = Path(landmarks) if landmarks is not None else beside if beside.is_file() else None
    if found is not None and not found.is_file():
        raise AutofrError(f"no landmarks file {found}; name one that exists, or turn masks off with --mask-prob 0")
    return found


def memory_reader(pixels: Pixels, kept: npt.NDArray[np.int64]) -> Callable[[Tensor], Tensor]:
    """What :attr:`autofr.data.Faces.read` is for decoded images, of which ``kept`` says which is asked for by which
    index. numpy looks them up: torch's threads would turn idly for milliseconds after it, beside those that train."""
    rows = pixels.transpose(0, 2, 3, 1)
    return lambda wanted: torch.from_numpy(rows[kept[wanted.numpy()]].transpose(0, 3, 1, 2))


def disk_reader(scan: Scan, kept: npt.NDArray[np.int64], image_size: int) -> Callable[[Tensor], Tensor]:
    """What :attr:`autofr.data.Faces.read` is for images on a disk: they are decoded whenever they are asked for.

    What cannot be read is tried again for ``BRIEFLY`` seconds, or ``PATIENCE`` where the source is away: empty, gone,
    or most of the images with it. Then it is an :class:`UnreadableImagesError`, or an :class:`AutofrError`.

    Args:
        scan: the images.
        kept: (N,) int64, which of them are asked for by which index.
        image_size: side that they are resized to, pixels.
    """

    def read(wanted: Tensor) -> Tensor:
        images = [scan.image(number) for number in kept[wanted.numpy()].tolist()]
        pixels, _, reasons = decode(images, image_size)
        started, pause = time.monotonic(), 0.25
        while reasons:
            waited = time.monotonic() - started
            away = 2 * len(reasons) > len(images) > 1 or not scan.there()
            first = reasons[min(reasons)]
            if away and waited >= PATIENCE:
                raise AutofrError(
                    f"{len(reasons)} of {len(images)} images cannot be read ({first}), for {waited:.0f} s: is "
                    f"{scan.source} away? Bring it back"
                )
            if not away and waited >= BRIEFLY:
                raise UnreadableImagesError(
                    f"{len(reasons)} images that were readable at the start no longer are: {first}", sorted(reasons)
                )
            time.sleep(pause)
            pause = min(2 * pause, 10.0)
            bad = sorted(reasons)
            pixels[bad], _, still = decode([images[place] for place in bad], image_size)
            reasons = {bad[place]: told for place, told in still.items()}
        return torch.from_numpy(pixels)

    return read
