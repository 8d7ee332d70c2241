"""What every data source becomes: images by index, with identities and landmarks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from autofr.compute.seeding import derive_seed
from autofr.exceptions import AutofrError
from autofr.masks.geometry import placement
from autofr.masks.schemes import landmark_scheme, scheme_of


class Concern(Enum):
    """What a :class:`Note` on a set of faces matters to."""

    DATA = "data"
    VALIDATION = "validation"
    MASKS = "masks"


@dataclass(frozen=True)
class Note:
    """One line for the user on what was skipped or is missing in a set of faces.

    Attributes:
        text: the line.
        concern: what it matters to: an evaluation that renders no masks does not show what concerns masks.
    """

    text: str
    concern: Concern = Concern.DATA

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Faces:
    """A set of aligned faces. Pixels are read by index; all else is in memory.

    Attributes:
        source: where they come from (a path, or ``synthetic``).
        read: image indices (int64, (B,)) to uint8 RGB pixels (B, 3, S, S).
        labels: (N,) int64, identity of each image, 0 to ``len(identities) - 1``.
        identities: name of each identity.
        names: name of each image, a path below the source.
        landmarks: (N, K, 2) float32 pixels at size S, K points of ``scheme``; NaN where an image has none. ``None``:
            the set has none at all.
        image_size: S.
        scheme: name for :func:`autofr.masks.landmark_scheme`; ``None``: their number says it.
        notes: what was skipped or is missing.
    """

    source: str
    read: Callable[[Tensor], Tensor]
    labels: Tensor
    identities: Sequence[str]
    names: Sequence[str]
    landmarks: Tensor | None
    image_size: int
    scheme: str | None = None
    notes: tuple[Note, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> Faces:
        """The images at ``indices`` (int64), their identities renumbered from 0 in order of label."""
        kept, labels = torch.unique(self.labels[indices], return_inverse=True)
        return Faces(
            source=self.source,
            read=lambda wanted: self.read(indices[wanted]),
            labels=labels,
            identities=[self.identities[i] for i in kept.tolist()],
            names=[self.names[i] for i in indices.tolist()],
            landmarks=None if self.landmarks is None else self.landmarks[indices],
            image_size=self.image_size,
            scheme=self.scheme,
        )

    @cached_property
    def anchors(self) -> Tensor | None:
        """What masks hang on, (N, 19, 2) float32 pixels; NaN where there are no landmarks; ``None`` without any."""
        if self.landmarks is None:
            return None
        scheme = scheme_of(self.landmarks.shape[1]) if self.scheme is None else landmark_scheme(self.scheme)
        return scheme.anchors(self.landmarks)

    def placement(self) -> Tensor | None:
        """What :func:`autofr.masks.placement` says of each image, (N,) int64, or ``None`` without landmarks."""
        return None if self.anchors is None else placement(self.anchors, self.image_size, self.image_size)

    def fingerprint(self) -> str:
        """A hash of names, identities and landmarks: a resumed run must meet the same data."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        digest.update(self.labels.numpy().tobytes())
        if self.landmarks is not None:
            digest.update(self.landmarks.numpy().tobytes())
        return digest.hexdigest()[:16]


def split_by_identity(faces: Faces, validation: int | None, seed: int) -> tuple[Faces, Faces]:
    """Training and validation faces that share no identity.

    Only identities with two images or more can validate; the others train.

    Args:
        faces: all of them.
        validation: identities to hold back; ``None``: a tenth, at least 2, at most 200.
        seed: which ones is drawn from it.

    Raises:
        AutofrError: fewer than 2 validation identities, or fewer than 2 left to train on.
    """
    counts = torch.bincount(faces.labels, minlength=len(faces.identities)).numpy()
    chosen = held_back(counts, validation, seed, faces.source)
    held = torch.from_numpy(np.isin(faces.labels.numpy(), chosen))
    return faces.subset((~held).nonzero().squeeze(1)), faces.subset(held.nonzero().squeeze(1))


def held_back(
    counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]], validation: int | None, seed: int, source: str
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Which identities validate, by the number of images that each has: see :func:`split_by_identity`."""
    eligible = np.flatnonzero(counts >= 2)
    count = max(2, min(200, len(counts) // 10, len(eligible))) if validation is None else validation
    if count < 2 or len(eligible) < count:
        raise AutofrError(
            f"validation needs 2 identities or more with 2 images or more each; asked for {count}, "
            f"{source} has {len(eligible)}"
        )
    if len(counts) - count < 2:
        raise AutofrError(f"{len(counts)} identities less {count} for validation leave fewer than 2 to train on")
    return np.random.default_rng(derive_seed(seed, "split")).choice(eligible, count, replace=False)
