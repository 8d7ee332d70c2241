"""What a model is to an evaluation, and where one comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autofr.embedder import load_embedder
from autofr.exceptions import AutofrError


class Model(Protocol):
    """Faces to embeddings.

    Attributes:
        name: for tables.
        about: what a report says of it, JSON-able: ``kind``, ``source``, ``image_size`` and what else is known.
        image_size: side of its input in pixels.
    """

    name: str
    about: dict[str, Any]
    image_size: int

    def embed(self, pixels: Tensor, flip: bool = False) -> Tensor:
        """Embed aligned faces.

        Args:
            pixels: (B, 3, S, S) uint8, RGB, aligned to the ArcFace template, of any size S, on the CPU.
            flip: add the embedding of the mirrored image.

        Returns:
            (B, D) float32 on the CPU, not normalised: lengths can weigh the images of a template.
        """


def resized(pixels: Tensor, size: int) -> Tensor:
    """uint8 pixels at another size, uint8."""
    if pixels.shape[-2:] == (size, size):
        return pixels
    return F.interpolate(pixels, (size, size), mode="bilinear", align_corners=False, antialias=True)


class TorchModel:
    """A PyTorch network.

    Args:
        net: from (B, 3, S, S) floats, normalised, to (B, D).
        name, about: see :class:`Model`.
        image_size: S.
        mean, std: of each channel, by which inputs in [0, 1] are normalised.
        device: where it runs.
    """

    def __init__(
        self,
        net: nn.Module,
        name: str,
        about: dict[str, Any],
        image_size: int,
        device: torch.device,
        mean: tuple[float, ...] = (0.5, 0.5, 0.5),
        std: tuple[float, ...] = (0.5, 0.5, 0.5),
    ) -> None:
        self.name, self.image_size, self.device = name, image_size, device
        self.about = about | {"image_size": image_size, "parameters": sum(p.numel() for p in net.parameters())}
        self._net = net.to(device).eval().requires_grad_(False)
        self._mean, self._std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (mean, std))

    @torch.no_grad()
    def embed(self, pixels: Tensor, flip: bool = False) -> Tensor:
        """See :class:`Model`."""
        images = resized(pixels, self.image_size).to(self.device, torch.float32).div_(255)
        images = images.sub_(self._mean).div_(self._std).contiguous(memory_format=torch.channels_last)
        out: Tensor = self._net(images).float()
        if flip:
            out = out + self._net(images.flip(-1)).float()
        return out.cpu()


def load_model(spec: str | Path, device: torch.device, threads: int | None = None) -> Model:
    """The model that ``spec`` names.

    Args:
        spec: a run directory or a checkpoint (:func:`autofr.embedder.load_embedder`); an ONNX file, with settings or
            without (``model.onnx:mean=0,std=1``, :class:`autofr.models.onnx.OnnxModel`); or a timm model
            (``timm/NAME``, :func:`autofr.models.timm.timm_model`).
        device: where it runs; ONNX files run on it too, if the onnxruntime that is installed can.
        threads: of the CPU, for an ONNX file, which has threads of its own; ``None``: all.

    Raises:
        AutofrError: no such model, or one that cannot be read.
    """
    text = str(spec)
    if text.startswith("timm/"):
        from autofr.models.timm import timm_model

        return timm_model(text, device)
    path, _, settings = text.partition(".onnx")
    if settings.startswith(":") or (settings == "" and text.endswith(".onnx")):
        from autofr.models.onnx import onnx_model

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
