"""Face masks from landmarks, painted inside the batch."""

from autofr.masks.face_mask import RandomFaceMask
from autofr.masks.landmarks import flip_landmarks, read_landmarks

__all__ = ["RandomFaceMask", "flip_landmarks", "read_landmarks"]
