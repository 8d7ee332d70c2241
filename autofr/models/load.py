"""Open any model by what names it."""

from __future__ import annotations

from pathlib import Path

import torch

from autofr.exceptions import AutofrError
from autofr.models.base import Model, TorchModel
from autofr.models.onnx import onnx_model
from autofr.models.timm import timm_model
from autofr.runs.network import load_embedder


def load_model(spec: str | Path, device: torch.device, threads: int | None = None) -> Model:
    """The model that ``spec`` names.

    Args:
        spec: a run directory or a checkpoint (:func:`autofr.load_embedder`); an ONNX file, with settings or
            without (``model.onnx:mean=0,std=1``, :class:`autofr.models.onnx.OnnxModel`); or a timm model
            (``timm/NAME``, :func:`autofr.models.timm.timm_model`).
        device: where it runs; ONNX files run on it too, if the onnxruntime that is installed can.
        threads: of the CPU, for an ONNX file, which has threads of its own; ``None``: all.

    Raises:
        AutofrError: no such model, or one that cannot be read.
    """
    text = str(spec)
    if text.startswith("timm/"):
        return timm_model(text, device)
    path, _, settings = text.partition(".onnx")
    if settings.startswith(":") or (settings == "" and text.endswith(".onnx")):
        return onnx_model(Path(path + ".onnx"), settings[1:], device, threads)
    if text.endswith(".npy"):
        raise AutofrError(
            f"{text} holds embeddings; this needs a model: a run, a checkpoint, an ONNX file or timm/NAME"
        )
    embedder = load_embedder(spec)
    about = {"kind": "autofr", "source": text, **embedder.config}
    return TorchModel(embedder.backbone, _name(Path(spec)), about, int(embedder.config["image_size"]), device)


def _name(path: Path) -> str:
    """What a table calls a run or a checkpoint: the run's name, rather than ``model`` or ``model.safetensors``."""
    path = path.resolve()
    if path.suffix == ".safetensors":
        path = path.parent
    return path.parent.name if path.name == "model" and path.parent.name else path.name
