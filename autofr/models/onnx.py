"""ONNX files, run by onnxruntime (extra ``[onnx]``): what the InsightFace challenge took."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autofr.exceptions import AutofrError
from autofr.models.base import resized
from autofr.registry import build

FIRST_NODES = 8
"""Nodes at a graph's start among which its own normalisation is looked for, as the challenge's checker did."""


def onnx_model(path: Path, settings: str, device: torch.device, threads: int | None = None) -> OnnxModel:
    """The model in ``path``, with ``settings`` such as ``mean=0,std=1`` (:class:`OnnxModel`).

    Raises:
        AutofrError: no such file, no onnxruntime, no model in it, or settings that it does not take.
    """
    if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnx") is None:
        raise AutofrError(f"{path} needs onnxruntime: pip install 'autofr[onnx]'")
    if not path.is_file():
        raise AutofrError(f"no ONNX file {path}")

    def make(
        mean: float | None = None, std: float | None = None, channels: str = "rgb", output: str | None = None
    ) -> OnnxModel:
        return OnnxModel(path, device, mean, std, channels, output, threads)

    model = build("ONNX model", f"{path.name}:{settings}", {path.name: make})
    model.name += f":{settings}" if settings else ""
    return model


class OnnxModel:
    """A network in an ONNX file.

    Args:
        path: the file.
        device: where it runs: CUDA if the installed onnxruntime has it.
        mean, std: pixels from 0 to 255 enter as (pixel - mean) / std. ``None``: 0 and 1 if the graph begins by
            normalising (as models that came from MXNet do), else 127.5 and 127.5.
        channels: ``rgb`` or ``bgr``.
        output: name of the output with the embedding; ``None``: the only one.
        threads: of the CPU; ``None``: all.

    Raises:
        AutofrError: no such model, or one that does not take square images of three channels.
    """

    def __init__(
        self,
        path: Path,
        device: torch.device,
        mean: float | None = None,
        std: float | None = None,
        channels: str = "rgb",
        output: str | None = None,
        threads: int | None = None,
    ) -> None:
        if channels not in ("rgb", "bgr"):
            raise ValueError(f"channels are rgb or bgr, got {channels}")
        if std is not None and std <= 0:
            raise ValueError(f"std is above 0, got {std}")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what fails is told by its exception
        if threads is not None:
            options.intra_op_num_threads = threads
        provider = "CUDAExecutionProvider" if device.type == "cuda" else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise AutofrError(f"this onnxruntime has no {provider}; take --device cpu")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
            operators = _first_operators(path)
        except Exception as error:
            raise AutofrError(f"ONNX file {path} cannot be read: {str(error).strip().splitlines()[0]}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._input, self._first, self.image_size = _image_input(path, inputs)
        self._sized = all(isinstance(s, int) for s in inputs[0].shape[1:])
        self._single = isinstance(inputs[0].shape[0], int)
        self._output = _embedding_output(path, [o.name for o in outputs], output)
        normalises = "Sub" in operators and "Mul" in operators
        self._mean = mean if mean is not None else 0.0 if normalises else 127.5
        self._std = std if std is not None else 1.0 if normalises else 127.5
        self._bgr = channels == "bgr"
        self.name = path.stem
        self.about: dict[str, Any] = {
            "kind": "onnx",
            "source": str(path),
            "image_size": self.image_size,
            "mean": self._mean,
            "std": self._std,
            "channels": channels,
            "megabytes": round(path.stat().st_size / 2**20, 2),
        }
        self.embed(torch.zeros(1, 3, self.image_size, self.image_size, dtype=torch.uint8))  # told now if it cannot run

    def embed(self, pixels: Tensor, flip: bool = False) -> Tensor:
        """See :class:`autofr.models.Model`."""
        images = resized(pixels, self.image_size).float().sub_(self._mean).div_(self._std)
        images = images.flip(1) if self._bgr else images
        return self._run(images) + self._run(images.flip(-1)) if flip else self._run(images)

    def _run(self, images: Tensor) -> Tensor:
        values = images.numpy() if self._first else images.permute(0, 2, 3, 1).contiguous().numpy()
        batches = np.split(values, len(values)) if self._single else [values]
        try:
            found = np.concatenate([self._session.run([self._output], {self._input: b})[0] for b in batches])
        except Exception as error:
            size = "" if self._sized else f"; its file leaves the input's size open, {self.image_size} was assumed"
            raise AutofrError(f"{self.about['source']} fails{size}: {str(error).strip().splitlines()[0]}") from error
        if found.ndim < 2 or len(found) != len(values) or found[0].size != max(found.shape[1:]):
            raise AutofrError(
                f"{self.about['source']}: output {self._output} of shape {found.shape} is no embedding (N, D)"
            )
        return torch.from_numpy(found.reshape(len(found), -1).astype(np.float32))


def _image_input(path: Path, inputs: list[Any]) -> tuple[str, bool, int]:
    """Name of the input, whether channels come first, and its side. Sides that a file leaves open are 112."""
    shape = inputs[0].shape if len(inputs) == 1 else []
    first = len(shape) == 4 and shape[1] == 3
    if inputs and len(shape) == 4 and (first or shape[3] == 3) and inputs[0].type == "tensor(float)":
        height, width = (s if isinstance(s, int) else 112 for s in (shape[2:] if first else shape[1:3]))
        if height == width and (shape[0] in (1, None) or isinstance(shape[0], str)):
            return inputs[0].name, first, height
    told = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
    raise AutofrError(f"ONNX file {path} should take float images (N, 3, S, S) or (N, S, S, 3); it takes {told}")


def _embedding_output(path: Path, names: list[str], wanted: str | None) -> str:
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted in names:
        return str(wanted)
    raise AutofrError(f"ONNX file {path} has outputs {', '.join(names)}; name one: {path}:output=NAME")


def _first_operators(path: Path) -> set[str]:
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    return {node.op_type for node in graph.node[:FIRST_NODES]}
