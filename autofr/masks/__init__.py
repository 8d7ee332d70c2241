"""Face masks from landmarks, painted inside the batch."""

from autofr.masks.face_mask import RandomFaceMask
from autofr.masks.geometry import placement
from autofr.masks.landmarks import read_landmarks
from autofr.masks.schemes import ANCHORS, Scheme, flip_anchors, landmark_scheme

__all__ = ["ANCHORS", "RandomFaceMask", "Scheme", "flip_anchors", "landmark_scheme", "placement", "read_landmarks"]
