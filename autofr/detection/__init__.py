"""Finding faces and their landmarks in photographs, and aligning them."""

from autofr.detection.align import align_face, alignment
from autofr.detection.face import Detector, Face, usable
from autofr.detection.registry import DETECTORS, create_detector
from autofr.detection.run import find_landmarks

__all__ = ["DETECTORS", "Detector", "Face", "align_face", "alignment", "create_detector", "find_landmarks", "usable"]
