"""Models to evaluate and to time, from anywhere: autofr's own, ONNX files, timm."""

from autofr.models.base import Model, load_model

__all__ = ["Model", "load_model"]
