"""Faces in a folder with one sub-folder an identity."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from autofr.data.reading import find_landmarks
from autofr.exceptions import AutofrError
from autofr.io.image_source import ImageFile
from autofr.io.images import SUFFIXES


@dataclass(frozen=True)
class FolderScan:
    """The images below a folder, found but not yet read."""

    source: Path
    names: list[str]
    landmarks: Path | None
    scheme: str | None = None

    def image(self, place: int) -> ImageFile:
        """See :class:`autofr.data.reading.Scan`."""
        return ImageFile(f"{self.source}/{self.names[place]}")

    def there(self) -> bool:
        """See :class:`autofr.data.reading.Scan`. A file system that was unmounted leaves an empty folder."""
        try:
            with os.scandir(self.source) as entries:
                return next(entries, None) is not None
        except OSError:
            return False


def scan_folder(folder: str | Path, landmarks: str | Path | None = None, scheme: str | None = None) -> FolderScan:
    """List ``folder/IDENTITY/IMAGE``, and find the landmarks: those named, or ``FOLDER_landmarks.npz`` beside it.

    Args:
        folder: where the identities' folders are.
        landmarks: an ``.npz`` for :func:`autofr.masks.read_landmarks`.
        scheme: what its points are (:func:`autofr.masks.landmark_scheme`); ``None``: the file or their number says it.

    Raises:
        AutofrError: no such folder, no image in it, no such landmarks file, or no such scheme.
    """
    root = Path(folder)
    if not root.is_dir():
        raise AutofrError(f"no such folder {root}; --data takes a folder with one sub-folder an identity")
    names = sorted(f"{p.parent.name}/{p.name}" for p in root.glob("*/*") if p.suffix.lower() in SUFFIXES)
    if not names:
        raise AutofrError(f"{root} holds no images; expected {root}/IDENTITY/IMAGE.jpg")
    return FolderScan(root, names, find_landmarks(root.resolve(), landmarks, scheme), scheme)
