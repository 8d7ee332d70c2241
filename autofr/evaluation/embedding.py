"""Embeddings of many images."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autofr.data.faces import Faces
from autofr.data.loader import normalise
from autofr.masks import RandomFaceMask
from autofr.seeding import seeded

BATCH = 256
"""Images a forward pass."""


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
    for chunk in torch.split(images, BATCH):
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


def masked_copies(anchors: Tensor, pixels: Tensor, seed: int, first: int = 0) -> Tensor:
    """Every image with a mask rendered on it: (N, 3, S, S) uint8. A face that cannot be masked stays bare.

    Each image's mask follows from ``seed`` and its place in the set alone, so that two models meet the same masks.

    Args:
        anchors: (N, 19, 2) pixels, of :attr:`autofr.data.Faces.anchors`.
        pixels: (N, 3, S, S) uint8.
        seed: decides the masks.
        first: place of the first of these images in the set, a multiple of 256.
    """
    mask = _every_face()
    out = []
    for place in range(0, len(pixels), BATCH):
        chunk = slice(place, place + BATCH)
        with seeded(seed, "evaluation masks", (first + place) // BATCH):
            out.append((mask(pixels[chunk].float() / 255, anchors[chunk]) * 255).round().to(torch.uint8))
    return torch.cat(out)


@lru_cache(maxsize=1)
def _every_face() -> RandomFaceMask:
    """Made once: its bank of cloth and its noise are the same for every chunk of a set."""
    with torch.inference_mode(False):
        return RandomFaceMask(p=1.0)


def embed_faces(
    backbone: nn.Module, faces: Faces, seed: int, flip: bool, progress: Callable[[int], None]
) -> tuple[Tensor, Tensor | None]:
    """Embeddings of a whole set as it is and masked, read bit by bit: memory holds embeddings, not images.

    Args:
        backbone: as for :func:`embed`.
        faces: the set; without landmarks nothing is masked.
        seed: decides the masks.
        flip: as for :func:`embed`.
        progress: called with the number of images done since the last call.

    Returns:
        (N, D) float32 on the CPU for the plain images; the same for the masked ones, or ``None``.
    """
    plain: list[Tensor] = []
    masked: list[Tensor] = []
    for first in range(0, len(faces), BATCH):
        wanted = torch.arange(first, min(first + BATCH, len(faces)))
        pixels = faces.read(wanted)
        plain.append(embed(backbone, pixels, flip).cpu())
        if faces.anchors is not None:
            masks = masked_copies(faces.anchors[wanted], pixels, seed, first)
            masked.append(embed(backbone, masks, flip).cpu())
        progress(len(wanted))
    return torch.cat(plain), torch.cat(masked) if masked else None
