"""The ``face-alignment`` library: S3FD finds faces, FAN their 68 points (Bulat and Tzimiropoulos, ICCV 2017)."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from autofr.detection.face import Face
from autofr.exceptions import AutofrError


class FaceAlignmentDetector:
    """See :class:`autofr.detection.Detector`.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        AutofrError: weights are not in torch's cache and cannot be downloaded; the message says where they go.
    """

    name, scheme = "face-alignment", "ibug68"

    def __init__(self, device: str = "cpu") -> None:
        import face_alignment

        try:
            self._library: Any = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D, device=device, flip_input=False, compile=False
            )
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise AutofrError(
                f"face-alignment cannot load its weights ({_first_line(error)}); without a network, put "
                f"{' and '.join(weights())} into {cache()}, or take --detector dlib"
            ) from error

    def detect(self, image: npt.NDArray[np.uint8]) -> list[Face]:
        """Every face of a photograph, (H, W, 3) RGB; empty where there is none."""
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # it warns where there is no face; that is reported as a miss
            points, scores, boxes = self._library.get_landmarks_from_image(
                image, return_bboxes=True, return_landmark_score=True
            )
        return [
            Face(
                landmarks=np.asarray(face, dtype=np.float32)[:, :2],
                box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                score=float(box[4]),
            )
            for face, _, box in zip(points or (), scores or (), boxes if boxes is not None else (), strict=True)
        ]


def weights() -> list[str]:
    """Addresses of the files that the library downloads on first use."""
    from face_alignment import api
    from face_alignment.detection.sfd import sfd_detector

    return [sfd_detector.models_urls["s3fd"], api.models_urls["2DFAN-4"]]


def cache() -> Path:
    """Where the library keeps them: torch's hub, below ``TORCH_HOME``."""
    return Path(os.path.join(torch.hub.get_dir(), "checkpoints"))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
