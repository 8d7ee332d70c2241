"""Landmark schemes: which points of each are the anchors that a mask hangs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from autofr.exceptions import AutofrError, UnknownNameError
from autofr.masks.constants import constant, places

ANCHORS = (
    *("left_0", "left_1", "left_2", "left_3", "left_4"),  # contour from the ear to the chin, image left
    *("right_0", "right_1", "right_2", "right_3", "right_4"),
    *("nasion", "bridge", "tip", "base", "upper_lip", "lower_lip", "chin"),  # the nose line, on to the chin
    *("left_lid", "right_lid"),  # middle of the lower eyelids
)
"""What every scheme is mapped to: 10 contour points (MAN, section 3.1), the nose line down to the chin, two eyelids."""

LEFT, RIGHT = slice(0, 5), slice(5, 10)
NASION, BRIDGE, TIP, BASE, UPPER_LIP, LOWER_LIP, CHIN, LEFT_LID, RIGHT_LID = range(10, 19)
COUNT = len(ANCHORS)

# Rows: the scheme's points in the order of ANCHORS; a tuple stands for the mean of its points.
_TABLE: dict[str, tuple[int, tuple[int | tuple[int, ...], ...]]] = {
    # 300-W / iBUG: contour 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67
    "ibug68": (
        68,
        (1, 3, 5, 6, 7, 15, 13, 11, 10, 9, 27, 28, 30, 33, 51, 57, 8, (40, 41), (46, 47)),
    ),
    # WFLW: contour 0-32, brows 33-50, nose 51-59, eyes 60-75, mouth 76-95, pupils 96-97
    "wflw98": (
        98,
        (2, 6, 10, 12, 14, 30, 26, 22, 20, 18, 51, 52, 54, 57, 79, 85, 16, (65, 66, 67), (73, 74, 75)),
    ),
    # InsightFace's 2d106det: chin 0, image-left contour 1-16, image-right contour 17-32, then eyes, mouth, nose
    "insightface106": (
        106,
        (10, 14, 3, 5, 7, 26, 30, 19, 21, 23, 72, 73, 86, 80, 71, 53, 0, (36, 37), (90, 91)),
    ),
    # the anchors themselves
    "anchors": (COUNT, tuple(range(COUNT))),
}

MOST = 10_000
"""Points of a face, at most, in a scheme with an index list."""

FIVE = "points5"
"""Eyes, nose tip, mouth corners (image left first): the rest of the face is estimated from them."""

_MIRROR = (*range(5, 10), *range(5), *range(10, 17), 18, 17)

# A head of middling proportions, (x right, y down, z toward the viewer); nasion to chin is about 1. What five points do
# not show is read off it. Its contour is drawn in by a tenth: the estimate errs, rather inside the face than outside.
_HEAD = np.array(
    [
        *([-0.55, 0.16, -0.45], [-0.48, 0.55, -0.30], [-0.37, 0.74, -0.10], [-0.24, 0.86, 0.02], [-0.11, 0.94, 0.08]),
        *([0.55, 0.16, -0.45], [0.48, 0.55, -0.30], [0.37, 0.74, -0.10], [0.24, 0.86, 0.02], [0.11, 0.94, 0.08]),
        *([0.0, 0.0, 0.15], [0.0, 0.13, 0.24], [0.0, 0.35, 0.40], [0.0, 0.44, 0.24], [0.0, 0.55, 0.20]),
        *([0.0, 0.72, 0.17], [0.0, 0.97, 0.10], [-0.28, 0.06, 0.02], [0.28, 0.06, 0.02]),
    ]
)
_HEAD_FIVE = np.array(
    [[-0.28, 0.02, 0.03], [0.28, 0.02, 0.03], [0.0, 0.35, 0.40], [-0.24, 0.605, 0.08], [0.24, 0.605, 0.08]]
)


@dataclass(frozen=True)
class Scheme:
    """A landmark scheme: a name, its number of points, and its map to the anchors.

    Attributes:
        name: as given on the command line.
        count: points of a face.
        weights: (19, count) float64; anchors = weights @ points.
    """

    name: str
    count: int
    weights: np.ndarray[tuple[int, ...], np.dtype[np.float64]]

    @cached_property
    def _rows(self) -> tuple[tuple[float, ...], ...]:
        return tuple(map(tuple, self.weights.tolist()))

    def anchors(self, landmarks: Tensor) -> Tensor:
        """The anchors of faces.

        Args:
            landmarks: (..., count, 2) pixels, x before y.

        Returns:
            (..., 19, 2) float32 pixels, in the order of :data:`ANCHORS`; all NaN where any landmark is not finite.

        Raises:
            ValueError: another number of points.
        """
        if landmarks.dim() < 2 or landmarks.shape[-2:] != (self.count, 2):
            raise ValueError(
                f"landmarks of scheme {self.name} are (..., {self.count}, 2), got {tuple(landmarks.shape)}"
            )
        # NaN times 0 is NaN, but an infinity might cancel: one bad point makes the whole face unusable.
        if landmarks.device.type == "cpu":
            # By numpy: torch's threads would turn idly for milliseconds after it, beside a batch that is trained on.
            given = landmarks.detach().float().numpy()
            seen = np.isfinite(given).all((-2, -1))[..., None, None]
            with np.errstate(invalid="ignore"):
                found = self.weights.astype(np.float32) @ given
            return torch.from_numpy(np.where(seen, found, np.float32(np.nan)))
        weights = constant(self._rows, landmarks.device)
        seen = landmarks.isfinite().flatten(-2).all(-1)[..., None, None]
        with torch.autocast(landmarks.device.type, enabled=False):  # half precision would move them by a pixel
            return torch.where(seen, weights @ landmarks.float(), torch.nan)


def scheme_names() -> list[str]:
    """Names for :func:`landmark_scheme`, less the form with an index list."""
    return sorted([*_TABLE, FIVE])


@cache
def landmark_scheme(name: str) -> Scheme:
    """A scheme by name.

    Args:
        name: ``ibug68``, ``wflw98``, ``insightface106``, ``points5``, ``anchors``, or ``COUNT:LIST``, where LIST is
            an ordered list of 19 indices into COUNT points, one for each of :data:`ANCHORS`: ``96:2,6,10,...``.

    Raises:
        AutofrError: no such scheme, or a list that does not name 19 points below COUNT.
    """
    if name == FIVE:
        # An affine camera looks at the head: its least-squares fit to five points is linear in them.
        return Scheme(name, 5, _homogeneous(_HEAD) @ np.linalg.pinv(_homogeneous(_HEAD_FIVE)))
    if ":" in name:
        return _listed(name)
    if name not in _TABLE:
        raise UnknownNameError("landmark scheme", name, [*scheme_names(), "COUNT:INDEX,INDEX,..."])
    return _from_groups(name, *_TABLE[name])


def scheme_of(count: int) -> Scheme:
    """The scheme that faces of ``count`` landmarks are taken to follow.

    Raises:
        AutofrError: no scheme, or no single one, has that many points.
    """
    names = {68: "ibug68", 98: "wflw98", 106: "insightface106", 5: FIVE, COUNT: "anchors"}
    if count not in names:
        raise AutofrError(
            f"{count} landmarks a face follow no scheme known by its number ({', '.join(map(str, sorted(names)))}); "
            f"name the points of the {COUNT} anchors: {count}:INDEX,INDEX,..."
        )
    return landmark_scheme(names[count])


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def middling_face(width: int, height: int, device: torch.device) -> Tensor:
    """The anchors of a frontal face of middling proportions in the middle of an image, (19, 2) float32 pixels."""
    middle = np.array([width / 2, 0.2 * height]) + 0.55 * min(width, height) * _HEAD[:, :2]
    return torch.from_numpy(middle.astype(np.float32)).to(device)


def flip_anchors(anchors: Tensor, width: int) -> Tensor:
    """The anchors of horizontally flipped images: mirrored in x, and left points swapped with right ones.

    Args:
        anchors: (..., 19, 2) pixels, x before y, pixel centres at whole numbers.
        width: width of the images in pixels.
    """
    flipped = anchors[..., places(_MIRROR, anchors.device), :].clone()
    flipped[..., 0] = width - 1 - flipped[..., 0]
    return flipped


def _from_groups(name: str, count: int, groups: Sequence[int | tuple[int, ...]]) -> Scheme:
    weights = np.zeros((COUNT, count))
    for row, group in enumerate(groups):
        points = (group,) if isinstance(group, int) else group
        weights[row, list(points)] = 1 / len(points)
    return Scheme(name, count, weights)


def _listed(name: str) -> Scheme:
    try:
        count, _, indices = name.partition(":")
        number, listed = int(count), [int(i) for i in indices.split(",")]
    except ValueError:
        raise AutofrError(f"landmark scheme '{name}' is no COUNT:INDEX,INDEX,... of whole numbers") from None
    if not 0 < number <= MOST:
        raise AutofrError(f"landmark scheme '{name}': a face has 1 to {MOST} points, not {number}")
    if len(listed) != COUNT:
        raise AutofrError(
            f"landmark scheme '{name}' must list {COUNT} indices, got {len(listed)}; in order: {', '.join(ANCHORS)}"
        )
    strange = [i for i in listed if not 0 <= i < number]
    if strange:
        raise AutofrError(f"landmark scheme '{name}' has {number} points, 0 to {number - 1}: no {strange[0]}")
    return _from_groups(name, number, listed)


def _homogeneous(
    points: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.concatenate([points, np.ones((len(points), 1))], 1)
