"""Facial landmarks: reading them, flipping them, and the points of them that a mask hangs on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autofr.exceptions import AutofrError

COUNT = 68
"""Points of the iBUG (300-W) scheme: contour 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67."""

LEFT_CONTOUR, RIGHT_CONTOUR = (2, 3, 5, 6, 7), (14, 13, 11, 10, 9)
"""The 10 contour points of a mask, 5 a side, each from the ear to the chin (MAN, section 3.1)."""

NOSE_BRIDGE, NOSE_BASE = 28, 33
"""Where the upper edge crosses the nose: a full mask on the bridge, below the eyes; a half mask under the tip."""

_MIRROR = torch.tensor(
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)


def flip_landmarks(landmarks: Tensor, width: int) -> Tensor:
    """The landmarks of horizontally flipped images: mirrored in x, and left points swapped with right ones.

    Args:
        landmarks: (..., 68, 2) pixels, x before y, pixel centres at whole numbers.
        width: width of the images in pixels.
    """
    flipped = landmarks[..., _MIRROR.to(landmarks.device), :].clone()
    flipped[..., 0] = width - 1 - flipped[..., 0]
    return flipped


def read_landmarks(path: Path) -> dict[str, np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    """Landmarks by image name from an ``.npz`` file.

    The file holds ``names`` (N strings, paths below the image folder) and ``landmarks`` (N, 68, 2; pixels of the
    image as stored). Rows with NaN are kept: their image is never masked. Pickled arrays are refused.

    Raises:
        AutofrError: no such file, no ``.npz`` of that layout, or lengths that do not agree.
    """
    if not path.is_file():
        raise AutofrError(f"no landmarks file {path}; name one with --landmarks, or turn masks off with --mask-prob 0")
    try:
        with np.load(path, allow_pickle=False) as archive:
            names, landmarks = archive["names"], archive["landmarks"].astype(np.float32)
    except (ValueError, EOFError) as error:  # text, or pickled objects: numpy's advice to allow pickles is not ours
        raise AutofrError(f"landmarks file {path} cannot be read: it is no .npz archive of plain arrays") from error
    except Exception as error:
        raise AutofrError(
            f"landmarks file {path} cannot be read ({error}); it needs 'names' and 'landmarks'"
        ) from error
    if landmarks.ndim != 3 or landmarks.shape[1:] != (COUNT, 2) or names.ndim != 1 or names.dtype.kind != "U":
        raise AutofrError(
            f"landmarks file {path} holds {names.dtype} names of shape {names.shape} and landmarks of shape "
            f"{landmarks.shape}; expected strings (N,) and (N, {COUNT}, 2)"
        )
    if len(names) != len(landmarks):
        raise AutofrError(f"landmarks file {path} has {len(names)} names but {len(landmarks)} landmark rows")
    return dict(zip(names.tolist(), landmarks, strict=True))
