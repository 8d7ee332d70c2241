"""Embeddings of many images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autofr.backbones.normalise import normalise
from autofr.compute.seeding import seeded
from autofr.data.faces import Faces
from autofr.masks import RandomFaceMask
from autofr.masks.geometry import AWAY
from autofr.masks.parameters import COVERAGE, MATERIAL
from autofr.masks.parameters import VERSION as MASKS_VERSION
from autofr.models import Model

BATCH = 256
"""Images a forward pass."""


@torch.no_grad()
def embed(backbone: nn.Module, images: Tensor) -> Tensor:
    """L2-normalised embeddings of images that are in memory, by a network that is being trained.

    Args:
        backbone: from (B, 3, S, S) in [-1, 1] to (B, D); it is put into evaluation mode, and back.
        images: (N, 3, S, S) uint8 pixels, on any device.

    Returns:
        (N, D) float32 on the backbone's device. A backbone that has diverged gives NaN rows.
    """
    device = next(backbone.parameters()).device
    training = backbone.training
    backbone.eval()
    out = [
        F.normalize(backbone(normalise(chunk.to(device).float() / 255)).float(), dim=1)
        for chunk in torch.split(images, BATCH)
    ]
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
            copies = mask(pixels[chunk].float().div_(255), anchors[chunk])
        out.append(copies.mul_(255).round_().to(torch.uint8))
    return torch.cat(out)


@lru_cache(maxsize=1)
def _every_face() -> RandomFaceMask:
    """Made once: its bank of cloth and its noise are the same for every chunk of a set."""
    with torch.inference_mode(False):
        return RandomFaceMask(p=1.0)


def embed_set(
    model: Model, faces: Faces, flip: bool, mask_seed: int | None, progress: Callable[[int], None]
) -> tuple[Tensor, Tensor | None]:
    """Embeddings of a whole set as it is and masked, read bit by bit: memory holds embeddings, not images.

    Args:
        model: the model.
        faces: the set.
        flip: add each mirrored image's embedding.
        mask_seed: decides the masks; ``None``: none are rendered.
        progress: called with the number of images done since the last call.

    Returns:
        (N, D) float32 for the plain images, not normalised; the same for the masked ones, or ``None``.
    """
    plain: list[Tensor] = []
    masked: list[Tensor] = []
    for first in range(0, len(faces), BATCH):
        wanted = torch.arange(first, min(first + BATCH, len(faces)))
        pixels = faces.read(wanted)
        plain.append(model.embed(pixels, flip))
        if mask_seed is not None and faces.anchors is not None:
            masks = masked_copies(faces.anchors[wanted], pixels, mask_seed, first)
            masked.append(model.embed(masks, flip))
        progress(len(wanted))
    return torch.cat(plain), torch.cat(masked) if masked else None


def masked_faces(faces: Faces, places: Sequence[int], seed: int) -> dict[int, Tensor]:
    """The same masked copies as :func:`embed_set` makes, of some images: (3, S, S) uint8 by place."""
    found: dict[int, Tensor] = {}
    for start in sorted({place // BATCH * BATCH for place in places}):
        wanted = torch.arange(start, min(start + BATCH, len(faces)))
        if faces.anchors is not None:
            copies = masked_copies(faces.anchors[wanted], faces.read(wanted), seed, start)
            found |= {place: copies[place - start] for place in places if place // BATCH * BATCH == start}
    return found


def mask_parameters(faces: Faces, seed: int, on: str, hung: str) -> dict[str, Any]:
    """What decides the rendered masks, for a report: two models with the same have met the same masks."""
    places = faces.placement()
    return {
        "on": on,
        "seed": seed,
        "version": MASKS_VERSION,
        "pixels": faces.image_size,
        "landmarks": hung,
        "anchors": "" if faces.anchors is None else hashlib.sha256(faces.anchors.numpy().tobytes()).hexdigest()[:16],
        "coverage": dict(COVERAGE),
        "material": dict(MATERIAL),
        "bare": 0 if places is None else int((places <= AWAY).sum()),
    }
