"""The product of a search: a network that turns faces into embeddings, and how it is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from autofr.backbones import create_backbone, without_numbers
from autofr.backbones.normalise import normalise
from autofr.exceptions import AutofrError
from autofr.io.files import replacing_folder, sha256, write_durably, write_json, write_tensors

MAX_SIDE, MAX_DIM = 1024, 2**16
"""Pixels of an image's side and length of an embedding; a configuration that claims more is not believed."""
WEIGHTS, CONFIG = "model.safetensors", "config.json"


class Embedder(nn.Module):
    """Faces to embeddings, with the resizing and normalising that the backbone was trained with.

    Args:
        backbone: from (B, 3, S, S) in [-1, 1] to (B, D).
        config: ``backbone``, ``image_size``, ``embedding_dim``: what rebuilds it.
    """

    def __init__(self, backbone: nn.Module, config: dict[str, Any]) -> None:
        super().__init__()
        self.backbone, self.config = backbone, config

    def forward(self, images: Tensor) -> Tensor:
        """Embed aligned faces.

        Args:
            images: (B, 3, H, W) floats in [0, 1], RGB, aligned to the ArcFace template.

        Returns:
            (B, D) float32, L2-normalised: the dot product of two is their similarity.
        """
        size = self.config["image_size"]
        if images.shape[-2:] != (size, size):
            images = F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)
        return F.normalize(self.backbone(normalise(images)).float(), dim=1)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` to ``folder``; see :func:`save_weights`."""
        save_weights(folder, self.config, self.backbone.state_dict())


def build_embedder(config: dict[str, Any], tensors: dict[str, Tensor], where: str) -> Embedder:
    """An embedder in evaluation mode from its configuration and its backbone's tensors.

    Raises:
        AutofrError: they do not fit each other; ``where`` says whose they are.
    """
    try:
        name, size, dim = str(config["backbone"]), int(config["image_size"]), int(config["embedding_dim"])
        if not (0 < size <= MAX_SIDE and 0 < dim <= MAX_DIM):
            raise ValueError(f"it claims images of {size} pixels and embeddings of {dim}")
        _check_shapes(name, size, dim, tensors)
        backbone = create_backbone(name, size, dim)
        backbone.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        first = str(error).splitlines() or [type(error).__name__]
        raise AutofrError(f"{where}: weights and configuration do not fit: {first[0]}") from error
    return Embedder(backbone, config).eval().requires_grad_(False)


def _check_shapes(name: str, size: int, dim: int, tensors: dict[str, Tensor]) -> None:
    """Nothing, if the tensors are those of the backbone: before there is one, which could be of any size.

    Raises:
        ValueError: they are not.
    """
    net = without_numbers(name, size, dim)
    if net is None:
        return
    expected = {key: tensor.shape for key, tensor in net.state_dict().items()}
    for key in expected.keys() | tensors.keys():
        found = tensors[key].shape if key in tensors else None
        if found != expected.get(key):
            raise ValueError(f"{key} is {found}, not {expected.get(key)}")


def save_weights(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write ``model.safetensors`` and ``config.json`` to ``folder``, which appears whole.

    A folder that is there already is replaced.
    """
    with replacing_folder(folder) as new:
        write_durably(new / WEIGHTS, lambda path: write_tensors(path, tensors))
        write_json(new / CONFIG, config | {"sha256": sha256(new / WEIGHTS)})
