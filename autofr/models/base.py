"""What a model is to an evaluation, and one that is a PyTorch network."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
