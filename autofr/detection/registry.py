"""Create a landmark detector by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from autofr.detection.face import Detector
from autofr.exceptions import AutofrError, UnknownNameError


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
        raise UnknownNameError("detector", name, DETECTORS)
    make, modules, extra = DETECTORS[name]
    if not _installed(modules):
        raise AutofrError(f"detector {name} is not installed: pip install 'autofr[{extra}]'")
    return make(device)


def _installed(modules: tuple[str, ...]) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in modules)
