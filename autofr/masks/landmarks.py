"""Landmark files."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autofr.exceptions import AutofrError
from autofr.io.npy import read_npy, texts
from autofr.masks.schemes import landmark_scheme, scheme_of

Points = np.ndarray[tuple[int, int], np.dtype[np.float32]]


MAX_RATIO, SMALL = 100, 2**26
"""What unpacks to more than ``SMALL`` bytes and to so many times its size is no landmarks file but a bomb."""


def _unpacked(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an archive, by name.

    Raises:
        AutofrError: it unpacks to far more than it is long.
        Exception: it is no archive, or not of arrays.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        if unpacked > max(SMALL, MAX_RATIO * path.stat().st_size):
            raise AutofrError(f"landmarks file {path} unpacks to {unpacked} bytes, over {MAX_RATIO} times its size")
        found = {}
        for member in members:
            with archive.open(member) as file:
                found[member.filename.removesuffix(".npy")] = read_npy(file, member.file_size)
    return found


def read_landmarks(path: Path, scheme: str | None = None) -> tuple[dict[str, Points], str]:
    """Landmarks by image name from an ``.npz`` file.

    The file holds ``names`` (N strings, paths below the image folder) and ``landmarks`` (N, K, 2; pixels of the image
    as stored); it may hold ``detected`` (N, bool; where false, the row is a stand-in and is made NaN) and ``scheme``
    (a string). Rows with NaN are kept: their image is never masked. Pickled arrays are refused.

    Args:
        path: the file.
        scheme: name for :func:`autofr.masks.landmark_scheme`; ``None``: the file's, or the one with K points.

    Returns:
        (K, 2) float32 by name, and the scheme's name.

    Raises:
        AutofrError: no such file, no ``.npz`` of that layout, lengths that do not agree, or no scheme that fits.
    """
    if not path.is_file():
        raise AutofrError(f"no landmarks file {path}; 'autofr landmarks' makes one")
    try:
        arrays = _unpacked(path)
        names, landmarks = arrays["names"], arrays["landmarks"].astype(np.float32)
        detected = arrays["detected"].astype(bool) if "detected" in arrays else np.ones(len(names), dtype=bool)
        stated = ",".join(texts(np.atleast_1d(arrays["scheme"]))) if "scheme" in arrays else None
        listed = texts(names)
    except AutofrError:
        raise
    except KeyError as error:
        raise AutofrError(
            f"landmarks file {path} cannot be read ({error} is missing); it needs 'names' and 'landmarks'"
        ) from error
    except Exception as error:  # text, pickled objects, a broken archive
        raise AutofrError(f"landmarks file {path} cannot be read: it is no .npz archive of plain arrays") from error
    if landmarks.ndim != 3 or landmarks.shape[2] != 2 or names.ndim != 1 or names.dtype.kind != "U":
        raise AutofrError(
            f"landmarks file {path} holds {names.dtype} names of shape {names.shape} and landmarks of shape "
            f"{landmarks.shape}; expected strings (N,) and (N, points, 2)"
        )
    if detected.ndim != 1:
        raise AutofrError(f"landmarks file {path}: 'detected' has shape {detected.shape}; expected (N,)")
    if not len(names) == len(landmarks) == len(detected):
        raise AutofrError(
            f"landmarks file {path} has {len(names)} names but {len(landmarks)} landmark rows"
            + ("" if len(detected) == len(names) else f" and {len(detected)} entries of 'detected'")
        )
    if not len(names):
        raise AutofrError(f"landmarks file {path} is empty")
    name = scheme or stated
    try:
        found = landmark_scheme(name) if name is not None else scheme_of(landmarks.shape[1])
    except AutofrError as error:
        raise AutofrError(f"landmarks file {path}: {error}") from None
    if found.count != landmarks.shape[1]:
        raise AutofrError(
            f"landmarks file {path} has {landmarks.shape[1]} points a face, scheme {found.name} has {found.count}"
        )
    landmarks[~detected] = np.nan
    return dict(zip(listed, landmarks, strict=True)), found.name
