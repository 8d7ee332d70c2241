"""What a landmark detector is, and which there are."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from autofr.exceptions import AutofrError, unknown
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


def _face_alignment(device: str) -> Detector:
    from autofr.detection.fan import FaceAlignmentDetector

    return FaceAlignmentDetector(device)


def _dlib(device: str) -> Detector:
    from autofr.detection.dlib68 import DlibDetector

    return DlibDetector()


DETECTORS: dict[str, tuple[Callable[[str], Detector], tuple[str, ...], str]] = {
    "face-alignment": (_face_alignment, ("face_alignment",), "landmarks"),
    "dlib": (_dlib, ("dlib", "face_recognition_models"), "dlib"),
}
"""By name: what makes one for a device, the modules it needs, and the extra that installs them."""


def create_detector(name: str | None = None, device: str = "cpu") -> Detector:
    """A detector by name.

    Args:
        name: a key of :data:`DETECTORS`; ``None``: the first that is installed.
        device: where its networks run, if it has any.

    Raises:
        AutofrError: no such detector, or its packages or weights are not here; the message says how to get them.
    """
    if name is None:
        name = next((known for known, (_, modules, _) in DETECTORS.items() if _installed(modules)), None)
        if name is None:
            extras = " or ".join(
                f"pip install 'autofr[{extra}]' ({known})" for known, (_, _, extra) in DETECTORS.items()
            )
            raise AutofrError(f"no landmark detector is installed: {extras}")
    if name not in DETECTORS:
        raise unknown("detector", name, DETECTORS)
    make, modules, extra = DETECTORS[name]
    if not _installed(modules):
        raise AutofrError(f"detector {name} is not installed: pip install 'autofr[{extra}]'")
    return make(device)


def _installed(modules: tuple[str, ...]) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in modules)
