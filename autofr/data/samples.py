"""Samples of shards, decoded: a batch of them, or all those to score on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autofr.data.faces import Faces, Note
from autofr.data.load import MAX_BAD
from autofr.data.reading import CHUNK
from autofr.data.shards import Sample, Shards, read_shard
from autofr.exceptions import AutofrError
from autofr.io.decoder import decode


def read_validation(shards: Shards, image_size: int, progress: Callable[[int], None] = lambda done: None) -> Faces:
    """The faces to score on, in memory.

    Raises:
        AutofrError: over 5 % of them cannot be read.
    """
    pixels, names, labels, points, lost = [], [], [], [], []
    for name, count in shards.validation:
        stream = read_shard(shards, name, count)
        while samples := list(itertools.islice(stream, CHUNK)):
            images, landmarks, reasons = decode_samples(samples, shards.points, image_size)
            for place, sample in enumerate(samples):
                if sample.label >= shards.held_back:
                    reasons[place] = f"{sample.name} has label {sample.label}, past the set's identities"
            good = [place for place in range(len(samples)) if place not in reasons]
            lost += [reasons[place] for place in sorted(reasons)]
            if len(lost) > MAX_BAD * sum(listed for _, listed in shards.validation):
                raise AutofrError(
                    f"{len(lost)} images cannot be read ({'; '.join(lost[:3])}): over {MAX_BAD:.0%}: pack the set again"
                )
            pixels.append(images[good].contiguous())
            names += [samples[place].name for place in good]
            labels += [samples[place].label for place in good]
            if landmarks is not None:
                points.append(torch.from_numpy(landmarks[good]))
            progress(len(samples))
    total = len(names) + len(lost)
    told = f"{len(lost)} of {total} images cannot be read ({'; '.join(lost[:3])})"
    stacked = torch.cat(pixels)
    kept, numbers = torch.unique(torch.tensor(labels), return_inverse=True)
    return Faces(
        source=shards.source,
        read=lambda wanted: stacked[wanted],
        labels=numbers,
        identities=[f"held back {number}" for number in kept.tolist()],
        names=names,
        landmarks=torch.cat(points) if points else None,
        image_size=image_size,
        scheme=shards.scheme,
        notes=(Note(f"{told}: skipped"),) if lost else (),
    )


def decode_samples(
    samples: Sequence[Sample], points: int, image_size: int
) -> tuple[Tensor, npt.NDArray[np.float32] | None, dict[int, str]]:
    """Decode samples with so many landmark ``points``.

    Returns:
        Pixels, (N, 3, S, S) uint8; landmarks in them, (N, K, 2), NaN where a sample has none, or ``None`` where the set
        has none; and by place why a sample could not be decoded.
    """
    pixels, sizes, reasons = decode(samples, image_size, more=0)
    landmarks = None
    if points:
        nothing = np.full((points, 2), np.nan, "<f4").tobytes()
        stored = np.frombuffer(b"".join(sample.landmarks or nothing for sample in samples), "<f4")
        scaled = (stored.reshape(-1, points, 2) + 0.5) * (image_size / sizes[:, None]) - 0.5
        landmarks = scaled.astype(np.float32)
    return torch.from_numpy(pixels), landmarks, reasons
