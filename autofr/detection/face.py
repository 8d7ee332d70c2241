"""What a detector finds, and what a detector is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from autofr.masks.schemes import landmark_scheme


@dataclass(frozen=True)
class Face:
    """A face that was found.

    Attributes:
        landmarks: (K, 2) float32 pixels, x before y, pixel centres at whole numbers.
        box: left, top, right, bottom in pixels.
        score: the detector's confidence; larger is surer.
    """

    landmarks: npt.NDArray[np.float32]
    box: tuple[float, float, float, float]
    score: float

    @property
    def area(self) -> float:
        """Pixels of the box."""
        left, top, right, bottom = self.box
        return max(0.0, right - left) * max(0.0, bottom - top)


class Detector(Protocol):
    """Finds faces and their landmarks.

    Attributes:
        name: as given to :func:`create_detector`.
        scheme: what its landmarks are, a name for :func:`autofr.masks.landmark_scheme`.
    """

    name: str
    scheme: str

    def detect(self, image: npt.NDArray[np.uint8]) -> list[Face]:
        """Every face of a photograph, (H, W, 3) RGB; empty where there is none."""


def usable(faces: Sequence[Face], scheme: str) -> list[Face]:
    """Faces with all their landmarks, the largest first."""
    count = landmark_scheme(scheme).count
    whole = [f for f in faces if f.landmarks.shape == (count, 2) and np.isfinite(f.landmarks).all()]
    return sorted(whole, key=lambda face: face.area, reverse=True)
