"""Margin losses: one class, one file. Each is swapped in and out of a member that owns the class centres."""

from autofr.losses.arcface import ArcFace
from autofr.losses.base import AdditiveMarginLoss, MarginLoss
from autofr.losses.cosface import CosFace
from autofr.losses.norm_softmax import NormSoftmax

__all__ = ["AdditiveMarginLoss", "ArcFace", "CosFace", "MarginLoss", "NormSoftmax"]
