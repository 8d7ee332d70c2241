"""From images that were found to faces that can be trained on: each is read once, and kept if all fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from autofr.data.faces import Concern, Faces, Note
from autofr.data.reading import CHUNK, Scan, disk_reader, memory_reader
from autofr.exceptions import AutofrError
from autofr.io.decoder import decode, dismiss, room
from autofr.masks import read_landmarks
from autofr.masks.geometry import AWAY, UNSEEN
from autofr.system.torchrun import processes_here

MAX_BAD = 0.05
"""Share of unreadable images past which a folder is refused."""
CACHE_SHARE = 0.5
"""Share of the free memory that decoded pixels may take; a larger set is decoded anew for each batch."""


def load_faces(scan: Scan, image_size: int, progress: Callable[[int], None] | None = None) -> Faces:
    """Read every image of ``scan`` once: check it, and keep its pixels if they fit in memory.

    Args:
        scan: the images, found but not yet read.
        image_size: side that images are resized to, pixels.
        progress: called with the number of images done since the last call.

    Raises:
        AutofrError: more than 5 % of the images cannot be read, or a broken landmarks file.
    """
    by_name, scheme = read_landmarks(scan.landmarks, scan.scheme) if scan.landmarks is not None else (None, None)
    count = len(scan.names)
    cached = count * 3 * image_size**2 <= CACHE_SHARE * _free_memory() / processes_here()
    pixels = room(count if cached else 0, image_size)
    sizes = np.zeros((count, 2), dtype=np.float32)
    reasons: dict[int, str] = {}

    for chunk in (range(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)):
        decoded, sizes[chunk.start : chunk.stop], why = decode([scan.image(i) for i in chunk], image_size)
        reasons |= {chunk[place]: told for place, told in why.items()}
        if cached:
            pixels[chunk.start : chunk.stop] = decoded
        if progress is not None:
            progress(len(chunk))
    if cached:
        dismiss()
    good = [i for i in range(count) if i not in reasons]
    notes = _skipped(scan, reasons)
    names = [scan.names[i] for i in good]
    folders = [name.split("/")[0] for name in names]
    identities = sorted(set(folders))
    number = {identity: i for i, identity in enumerate(identities)}
    labels = torch.tensor([number[f] for f in folders])
    alone = int((torch.bincount(labels) == 1).sum())
    if alone:
        alone_note = f"{alone} identities have one image: kept for training, not for validation"
        notes.append(Note(alone_note, Concern.VALIDATION))
    landmarks = None
    if by_name is not None:
        strange = by_name.keys() - set(scan.names)
        if strange:
            unmatched = f"{len(strange)} names in {scan.landmarks} are of no image here, such as '{min(strange)}'"
            notes.append(Note(unmatched))
        if not any(name in by_name for name in names):
            raise AutofrError(
                f"landmarks file {scan.landmarks} names no image of {scan.source}: it has "
                f"'{next(iter(by_name), '(nothing)')}', the images are called '{names[0]}'"
            )
        landmarks = _align(by_name, names, sizes[good], image_size)
    kept = np.array(good)
    read = memory_reader(pixels, kept) if cached else disk_reader(scan, kept, image_size)
    faces = Faces(
        source=str(scan.source),
        read=read,
        labels=labels,
        identities=identities,
        names=names,
        landmarks=landmarks,
        image_size=image_size,
        scheme=scheme,
    )
    return replace(faces, notes=(*notes, *_never_masked(faces)))


def _skipped(scan: Scan, reasons: dict[int, str]) -> list[Note]:
    if not reasons:
        return []
    first = "; ".join(reasons[i] for i in sorted(reasons)[:3])
    told = f"{len(reasons)} of {len(scan.names)} images cannot be read ({first}{'; ...' if len(reasons) > 3 else ''})"
    if len(reasons) > MAX_BAD * len(scan.names):
        raise AutofrError(f"{told}: over {MAX_BAD:.0%}; repair or remove them")
    return [Note(f"{told}: skipped")]


def _align(
    by_name: dict[str, np.ndarray[tuple[int, int], np.dtype[np.float32]]],
    names: Sequence[str],
    sizes: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    image_size: int,
) -> Tensor:
    """Landmarks in the order of ``names``, in pixels of the resized images; NaN where there are none."""
    nothing = np.full_like(next(iter(by_name.values())), np.nan)
    stored = np.stack([by_name.get(name, nothing) for name in names])
    scaled = (stored + 0.5) * (image_size / sizes[:, None, :]) - 0.5
    scaled[~np.isfinite(scaled).all((1, 2))] = np.nan
    return torch.from_numpy(scaled.astype(np.float32))


def _never_masked(faces: Faces) -> list[Note]:
    """One line each on the faces that are left bare, and why."""
    kinds = faces.placement()
    told = []
    if kinds is not None:
        for kind, why in ((UNSEEN, "have no usable landmarks"), (AWAY, "are turned too far away")):
            count = int((kinds == kind).sum())
            if count:
                told.append(Note(f"{count} of {len(faces)} images {why}: never masked", Concern.MASKS))
    return told


def _free_memory() -> int:
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 4 * 2**30  # no such file outside Linux: assume a small laptop
