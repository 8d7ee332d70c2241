"""Alignment to the ArcFace template: a similarity that brings eyes, nose and mouth to their usual places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from autofr.exceptions import AutofrError

SIZE = 112
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Eyes, nose tip and mouth corners, image left first, in the pixels of a 112x112 face (InsightFace)."""

Array = npt.NDArray[np.float64]


_FIVE: dict[str, tuple[Sequence[int], ...]] = {
    "ibug68": (range(36, 42), range(42, 48), [30], [48], [54]),
    "wflw98": (range(60, 68), range(68, 76), [54], [76], [82]),
    "insightface106": ([35, 41, 42, 39, 37, 36], [89, 95, 96, 93, 91, 90], [86], [52], [61]),
    "points5": ([0], [1], [2], [3], [4]),
}


def can_align(scheme: str) -> None:
    """Nothing, if faces with landmarks of that scheme can be aligned.

    Raises:
        AutofrError: they cannot.
    """
    if scheme not in _FIVE:
        raise AutofrError(f"faces with landmarks of scheme {scheme} cannot be aligned; known: {', '.join(_FIVE)}")


def five_points(landmarks: npt.NDArray[np.floating], scheme: str) -> Array:
    """Eye centres, nose tip and mouth corners of a face, (5, 2).

    Raises:
        AutofrError: a scheme for which they are not known.
    """
    can_align(scheme)
    return np.stack([np.asarray(landmarks, dtype=np.float64)[list(group)].mean(0) for group in _FIVE[scheme]])


def alignment(points: npt.NDArray[np.floating], template: Array = TEMPLATE) -> Array:
    """The similarity that brings ``points`` nearest to a template, least squares (Umeyama 1991, no reflection).

    Args:
        points: (N, 2) pixels of the photograph, N 2 or more.
        template: (N, 2) pixels of the aligned face.

    Returns:
        (2, 3): aligned = M[:, :2] @ point + M[:, 2].

    Raises:
        ValueError: the points all but coincide.
    """
    # In the complex plane a similarity is one factor and one shift, and least squares a single quotient.
    source, target = (np.asarray(p, dtype=np.float64) @ [1, 1j] for p in (points, template))
    from_source, from_target = source - source.mean(), target - target.mean()
    spread = (np.abs(from_source) ** 2).sum()
    if not np.isfinite(spread) or spread < 1e-6:
        raise ValueError("the points of a face all but coincide")
    factor = (from_source.conj() * from_target).sum() / spread
    shift = target.mean() - factor * source.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def align_face(
    image: Image.Image, landmarks: npt.NDArray[np.floating], scheme: str
) -> tuple[Image.Image, npt.NDArray[np.float32]]:
    """Cut a face out of a photograph, 112x112, and move its landmarks with it.

    Args:
        image: the photograph, RGB.
        landmarks: (K, 2) pixels of it.
        scheme: what they are.

    Returns:
        The face (black where the photograph ends), and its landmarks in the face's pixels, (K, 2).

    Raises:
        ValueError: the points all but coincide.
    """
    forward = alignment(five_points(landmarks, scheme))
    moved = np.asarray(landmarks, dtype=np.float64) @ forward[:, :2].T + forward[:, 2]
    # A face larger than the crop is first reduced by whole steps: sampling alone would alias.
    step = max(1, int(1 / np.hypot(*forward[:, 0])))
    reduced = image.reduce(step) if step > 1 else image
    linear = np.linalg.inv(forward[:, :2])
    back = np.concatenate([linear, (-linear @ forward[:, 2])[:, None]], 1)
    # Pixel centres are at whole numbers here and at halves in Pillow; a reduced image's pixels are wider.
    back[:, 2] = (back[:, 2] + 0.5 - 0.5 * linear.sum(1)) / step
    back[:, :2] /= step
    face = reduced.transform((SIZE, SIZE), Image.Transform.AFFINE, tuple(back.flatten()), Image.Resampling.BICUBIC)
    return face, moved.astype(np.float32)
