"""Embeddings of many images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autofr.data.faces import Faces
from autofr.data.loader import normalise
from autofr.masks import RandomFaceMask
from autofr.seeding import seeded

_BATCH = 256


@torch.no_grad()
def embed(backbone: nn.Module, images: Tensor, flip: bool = False) -> Tensor:
    """L2-normalised embeddings of images that are in memory.

    Args:
        backbone: from (B, 3, S, S) in [-1, 1] to (B, D); it is put into evaluation mode, and back.
        images: (N, 3, S, S) normalised float32, or uint8 pixels, on any device.
        flip: add the embedding of the mirrored image before normalising.

    Returns:
        (N, D) float32 on the backbone's device. A backbone that has diverged gives NaN rows.
    """
    device = next(backbone.parameters()).device
    training = backbone.training
    backbone.eval()
    out = []
    for chunk in torch.split(images, _BATCH):
        batch = chunk.to(device)
        if batch.dtype == torch.uint8:
            batch = normalise(batch.float() / 255)
        vector = backbone(batch)
        if flip:
            vector = vector + backbone(batch.flip(-1))
        out.append(F.normalize(vector.float(), dim=1))
    backbone.train(training)
    return torch.cat(out)


def read_all(faces: Faces) -> Tensor:
    """Every image of ``faces``, (N, 3, S, S) uint8."""
    return faces.read(torch.arange(len(faces)))


def masked_copies(faces: Faces, pixels: Tensor, seed: int, progress: Callable[[int], None] | None = None) -> Tensor:
    """Every image with a mask rendered on it: (N, 3, S, S) uint8. A face without landmarks stays bare.

    Each image's mask follows from ``seed`` and its place alone, so that two models meet the same masks.

    Args:
        faces: the set, with landmarks.
        pixels: its images, as :func:`read_all` gives them.
        seed: decides the masks.
        progress: called with the number of images done since the last call.
    """
    if faces.landmarks is None:
        raise ValueError("masks need landmarks")
    mask = RandomFaceMask(p=1.0)
    out = []
    for number, (chunk, landmarks) in enumerate(
        zip(torch.split(pixels, _BATCH), torch.split(faces.landmarks, _BATCH), strict=True)
    ):
        with seeded(seed, "evaluation masks", number):
            out.append((mask(chunk.float() / 255, landmarks) * 255).round().to(torch.uint8))
        if progress is not None:
            progress(len(chunk))
    return torch.cat(out)
