"""dlib's HOG face detector and 68-point regression trees, with the models of ``face_recognition_models``.

Works without a network: the models come with the package. The shape model was trained on iBUG 300-W, whose licence
excludes commercial use.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autofr.detection.face import Face
from autofr.exceptions import AutofrError

_LARGEST = 1600  # a larger photograph is searched at this size: faces of 1/20 of it are still found
_SMALLEST_FACE = 80  # pixels; HOG sees nothing smaller, so smaller photographs are enlarged


class DlibDetector:
    """See :class:`autofr.detection.Detector`."""

    name, scheme = "dlib", "ibug68"

    def __init__(self) -> None:
        import dlib

        # The package's own module needs pkg_resources, which newer setuptools lack: its folder is enough.
        spec = importlib.util.find_spec("face_recognition_models")
        folder = Path(next(iter(spec.submodule_search_locations or []))) if spec is not None else Path()
        shape = folder / "models" / "shape_predictor_68_face_landmarks.dat"
        if not shape.is_file():
            raise AutofrError(f"{shape} is missing; install face_recognition_models again")
        self._find, self._shape = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(shape))
        self._rectangle = dlib.rectangle

    def detect(self, image: npt.NDArray[np.uint8]) -> list[Face]:
        """Every face of a photograph, (H, W, 3) RGB; empty where there is none."""
        step = max(1, -(-max(image.shape[:2]) // _LARGEST))
        searched = np.ascontiguousarray(image[::step, ::step])
        for enlarged in (0, 1, 2):  # each doubles the size; a small photograph first shows nothing
            if enlarged and max(searched.shape[:2]) * 2 ** (enlarged - 1) > 8 * _SMALLEST_FACE:
                break
            boxes, scores, _ = self._find.run(searched, enlarged, 0.0)
            if boxes:
                break
        return [self._face(image, box, step, score) for box, score in zip(boxes, scores, strict=True)]

    def _face(self, image: npt.NDArray[np.uint8], box: object, step: int, score: float) -> Face:
        sides = [getattr(box, side)() * step for side in ("left", "top", "right", "bottom")]
        shape = self._shape(np.ascontiguousarray(image), self._rectangle(*sides))
        points = np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float32)
        left, top, right, bottom = (float(side) for side in sides)
        return Face(points, (left, top, right, bottom), float(score))
