"""``autofr pack``: a folder or a RecordIO file, with its landmarks, as WebDataset shards."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autofr.compute.mesh import parts
from autofr.compute.seeding import derive_seed
from autofr.console import Display
from autofr.data import scan
from autofr.data.faces import held_back
from autofr.data.load import MAX_BAD
from autofr.data.reading import CHUNK, Scan
from autofr.data.shards import INDEX, MAX_SAMPLES, landmarks_text, write_index
from autofr.exceptions import AutofrError
from autofr.io.decoder import decode
from autofr.io.files import Output
from autofr.masks import read_landmarks

SHARD_SIZE = 10_000
SIDE = 112
"""Pixels that an image is decoded to, to see that it can be."""
SUFFIX = {b"\xff\xd8": "jpg", b"\x89P": "png", b"BM": "bmp", b"RI": "webp"}
"""Of a file in a shard, by how its bytes begin."""
_OUTPUT = Output("set in shards", (INDEX, "train-*.tar", "validation-*.tar"))


@dataclass(frozen=True)
class Packed:
    """What :func:`pack` wrote.

    Attributes:
        folder: where.
        images, identities: how many, to train on and to score on.
        shards: files.
        skipped: what could not be read, a line each.
        bare: images without landmarks; ``None``: the set has none.
    """

    folder: Path
    images: tuple[int, int]
    identities: tuple[int, int]
    shards: int
    skipped: list[str]
    bare: int | None


def pack(
    data: str | Path,
    out: str | Path,
    *,
    landmarks: str | Path | None = None,
    landmark_scheme: str | None = None,
    shard_size: int = SHARD_SIZE,
    validation_identities: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Packed:
    """Write faces as shards that ``--data`` takes. Images go as they are stored, in an order drawn from ``seed``; each
    is decoded once, to see that it can be.

    Args:
        data: a folder with one sub-folder an identity, or a ``.rec`` file.
        out: the folder to write. It may hold a set in shards, which is replaced, and nothing else.
        landmarks, landmark_scheme: as for :func:`autofr.search`.
        shard_size: images a shard at most; D data ranks share out a multiple of D shards best.
        validation_identities: how many to hold back to score on; ``None``: a tenth, 2 to 200.
        seed: decides which, and the order.
        progress: show a bar.

    Raises:
        AutofrError: bad input, or over 5 % of the images cannot be read; nothing has been written then.
    """
    try:
        from webdataset.writer import TarWriter
    except ImportError as error:
        raise AutofrError("pip install 'autofr[webdataset]' writes shards") from error
    if isinstance(shard_size, bool) or not isinstance(shard_size, int) or shard_size < 1:
        raise AutofrError(f"a shard holds 1 image or more, a whole number, got {shard_size!r}")
    if shard_size > MAX_SAMPLES:
        raise AutofrError(f"a shard holds {MAX_SAMPLES} images at most, got {shard_size}")
    if seed < 0:
        raise AutofrError(f"a seed is 0 or more, got {seed}")
    folder = Path(out)
    _OUTPUT.check(folder)
    source = scan(data, landmarks, landmark_scheme)
    points, scheme = (None, None) if source.landmarks is None else read_landmarks(source.landmarks, source.scheme)
    if points is not None and not any(name in points for name in source.names):
        raise AutofrError(f"landmarks file {source.landmarks} names no image of {source.source}")
    held = _held_back(source.names, validation_identities, seed, str(source.source))
    skipped: list[str] = []
    listed: dict[str, list[tuple[str, int]]] = {}
    counts: dict[str, int] = {}
    classes: dict[str, int] = {}
    bare = 0
    display = Display(progress)
    with _OUTPUT.replacing(folder) as filled, display.bar("packing", len(source.names)) as advance:
        for kind, wanted in (("train", False), ("validation", True)):
            mine = [i for i, name in enumerate(source.names) if (_identity(name) in held) == wanted]
            order = [mine[i] for i in np.random.default_rng(derive_seed(seed, "pack")).permutation(len(mine))]
            whole = _readable(source, order, skipped, advance)
            label = {name: i for i, name in enumerate(sorted({_identity(source.names[i]) for i in whole}))}
            listed[kind], counts[kind], classes[kind] = [], len(whole), len(label)
            for number, places in enumerate(parts(len(whole), -(-len(whole) // shard_size))):  # as even as can be
                chosen = whole[places.start : places.stop]
                name = f"{kind}-{number:05d}.tar"
                with TarWriter(str(filled / name), mtime=0, encoder=False) as tar:
                    for key, i in enumerate(chosen, places.start):
                        found = None if points is None else points.get(source.names[i])
                        lacking = found is None or not np.isfinite(found).all()
                        bare += points is not None and lacking
                        about: dict[str, Any] = {"name": source.names[i], "label": label[_identity(source.names[i])]}
                        if points is not None:
                            about["landmarks"] = None if lacking or found is None else landmarks_text(found)
                        raw = source.image(i).read()
                        suffix = SUFFIX.get(raw[:2], "img")
                        tar.write({"__key__": f"{key:09d}", suffix: raw, "json": json.dumps(about).encode()})
                listed[kind].append((name, len(chosen)))
        if len(skipped) > MAX_BAD * len(source.names):
            told = "; ".join(skipped[:3])
            raise AutofrError(
                f"{len(skipped)} of {len(source.names)} images cannot be read ({told}): over {MAX_BAD:.0%}; repair or "
                "remove them"
            )
        if min(classes.values()) < 2:
            raise AutofrError(f"{source.source} leaves fewer than 2 identities to train or to score on")
        about = {"identities": classes["train"], "held_back": classes["validation"], "scheme": scheme}
        write_index(filled, about | {"images": counts, "skipped": len(skipped), **listed})
    return Packed(
        folder,
        (counts["train"], counts["validation"]),
        (classes["train"], classes["validation"]),
        sum(map(len, listed.values())),
        skipped,
        None if points is None else bare,
    )


def _identity(name: str) -> str:
    return name.split("/")[0]


def _held_back(names: Sequence[str], validation: int | None, seed: int, source: str) -> set[str]:
    """The identities that a search of the same folder and seed would hold back."""
    counts = Counter(map(_identity, names))
    identities = sorted(counts)
    chosen = held_back(np.array([counts[name] for name in identities]), validation, seed, source)
    return {identities[i] for i in chosen.tolist()}


def _readable(source: Scan, places: Sequence[int], skipped: list[str], advance: Callable[[int], None]) -> list[int]:
    """Those of ``places`` whose images can be decoded; of the others a line goes to ``skipped``."""
    reasons: dict[int, str] = {}
    for first in range(0, len(places), CHUNK):
        chunk = places[first : first + CHUNK]
        _, _, why = decode([source.image(place) for place in chunk], SIDE)
        reasons |= {chunk[at]: told for at, told in why.items()}
        advance(len(chunk))
    skipped += [reasons[place] for place in sorted(reasons)]
    return [place for place in places if place not in reasons]
