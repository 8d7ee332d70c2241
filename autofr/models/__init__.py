"""Models to evaluate and to time, from anywhere: autofr's own, ONNX files, timm."""

from autofr.models.base import Model, embed_all, load_model

__all__ = ["Model", "embed_all", "load_model"]
