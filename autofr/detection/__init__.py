"""Finding faces and their landmarks in photographs, and aligning them."""

from autofr.detection.align import align_face, alignment
from autofr.detection.base import DETECTORS, Detector, Face, create_detector, usable
from autofr.detection.run import find_landmarks

__all__ = ["DETECTORS", "Detector", "Face", "align_face", "alignment", "create_detector", "find_landmarks", "usable"]
