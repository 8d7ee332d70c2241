"""Models to evaluate and to time, from anywhere: autofr's own, ONNX files, timm."""

from autofr.models.base import Model
from autofr.models.load import load_model

__all__ = ["Model", "load_model"]
