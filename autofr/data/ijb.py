"""IJB-B and IJB-C: templates of several images of a person, by the metadata files that are in general use.

``ROOT/meta/SET_name_5pts_score.txt`` (image, ten coordinates of five points, detector score),
``SET_face_tid_mid.txt`` (image, template, media; in the same order), ``SET_template_pair_label.txt`` (two templates,
1 if genuine), and the images in ``ROOT/loose_crop``; SET is ``ijbb`` or ``ijbc``. Whitelam et al. (CVPRW 2017), Maze et
al. (ICB 2018).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autofr.data.faces import Faces
from autofr.data.missing import tolerated
from autofr.detection.align import SIZE, align_face, alignment
from autofr.exceptions import AutofrError
from autofr.io.files import sha256
from autofr.io.images import open_image
from autofr.system.thread_pool import in_parallel


@dataclass(frozen=True)
class Templates:
    """What is compared.

    Attributes:
        template: (N,) int64, the template of each image, from 0.
        media: (N,) int64, the photograph or video that each image is from, from 0.
        detector_scores: (N,) float32.
        first, second: (P,) int64 templates of each pair.
        same: (P,) bool.
        digest: a hash of the metadata.
        notes: what was skipped.
    """

    template: Tensor
    media: Tensor
    detector_scores: Tensor
    first: Tensor
    second: Tensor
    same: Tensor
    digest: str = ""
    notes: tuple[str, ...] = ()


def read_ijb(root: Path) -> tuple[Faces, Templates]:
    """The images of an IJB set, aligned by their five points when they are read, and its templates.

    Args:
        root: the folder with ``meta`` and ``loose_crop``.

    Raises:
        AutofrError: files that are missing, empty, or do not agree; over 1 % of images or pairs missing.
    """
    found = sorted((root / "meta").glob("*_face_tid_mid.txt"))
    if len(found) != 1:
        raise AutofrError(f"{root} should hold one meta/SET_face_tid_mid.txt (SET is ijbb or ijbc), has {len(found)}")
    prefix = found[0].name.removesuffix("_face_tid_mid.txt")
    faces_file, points_file, pairs_file = (
        root / "meta" / f"{prefix}_{kind}.txt" for kind in ("face_tid_mid", "name_5pts_score", "template_pair_label")
    )
    names, numbers = _table(points_file, 11)
    of_names, ids = _table(faces_file, 2)
    if of_names != names:
        raise AutofrError(f"{faces_file} and {points_file} do not list the same images in the same order")
    missing = [place for place, name in enumerate(names) if not (root / "loose_crop" / name).is_file()]
    notes = tolerated([names[p] for p in missing], len(names), "images are missing")
    kept = np.setdiff1d(np.arange(len(names)), missing)
    numbers, names = numbers[kept], [names[p] for p in kept]
    numbered: npt.NDArray[np.int64] = ids[kept].astype(np.int64)
    known, template = np.unique(numbered[:, 0], return_inverse=True)
    _, media = np.unique(numbered[:, 1], return_inverse=True)
    if (numbers[:, 10] < 0).any():
        raise AutofrError(f"{points_file}: a detector score is negative")
    pairs = _pair_table(pairs_file)
    first, second, same, skipped = _pairs(pairs, known, pairs_file)
    points = numbers[:, :10].reshape(-1, 5, 2)
    templates = Templates(
        template=torch.from_numpy(template.astype(np.int64)),
        media=torch.from_numpy(media.astype(np.int64)),
        detector_scores=torch.from_numpy(numbers[:, 10].astype(np.float32)),
        first=torch.from_numpy(first),
        second=torch.from_numpy(second),
        same=torch.from_numpy(same),
        digest=hashlib.sha256("".join(map(sha256, (points_file, faces_file, pairs_file))).encode()).hexdigest()[:16],
        notes=(*notes, *skipped),
    )
    return _faces(root, names, points, templates.template, known), templates


def _faces(
    root: Path, names: Sequence[str], points: npt.NDArray[np.float64], template: Tensor, known: npt.NDArray[np.int64]
) -> Faces:
    moved = np.empty(points.shape, dtype=np.float32)
    for place, five in enumerate(points):
        try:
            forward = alignment(five)
        except ValueError as error:
            raise AutofrError(f"{root}: the five points of {names[place]}: {error}") from error
        moved[place] = five @ forward[:, :2].T + forward[:, 2]

    def read(wanted: Tensor) -> Tensor:
        numbers = wanted.tolist()
        pixels = np.empty((len(numbers), 3, SIZE, SIZE), dtype=np.uint8)

        def one(place: int) -> None:
            number = numbers[place]
            face, _ = align_face(open_image(root / "loose_crop" / names[number]), points[number], "points5")
            pixels[place] = np.asarray(face).transpose(2, 0, 1)

        try:
            in_parallel(one, range(len(numbers)), lambda place: names[numbers[place]])
        except OSError as error:
            raise AutofrError(f"an image cannot be read: {error}") from error
        return torch.from_numpy(pixels)

    return Faces(
        source=str(root),
        read=read,
        labels=template,
        identities=[str(t) for t in known.tolist()],
        names=list(names),
        landmarks=torch.from_numpy(moved),
        image_size=SIZE,
        scheme="points5",
    )


def _pair_table(path: Path) -> npt.NDArray[np.int64]:
    """Three whole numbers a line, of which IJB-C has 15.7 million."""
    if not path.is_file():
        raise AutofrError(f"no file {path}")
    if not path.stat().st_size:
        raise AutofrError(f"{path} is empty")
    try:
        pairs: npt.NDArray[np.int64] = np.loadtxt(path, dtype=np.int64, ndmin=2, comments=None)
    except ValueError as error:
        raise AutofrError(f"{path}: {error}") from error
    if pairs.shape[1] != 3:
        raise AutofrError(f"{path}: a line has {pairs.shape[1]} numbers, expected two templates and a label")
    return pairs


def _table(path: Path, columns: int) -> tuple[list[str], npt.NDArray[np.float64]]:
    """A file of names, each followed by numbers between blanks."""
    if not path.is_file():
        raise AutofrError(f"no file {path}")
    names, rows = [], []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            parts = line.split()
            if parts:
                names.append(parts.pop(0))
                rows.append([float(part) for part in parts])
                if len(rows[-1]) != columns or not np.isfinite(rows[-1]).all():
                    raise ValueError(f"line {number} has not {columns} finite numbers")
    except ValueError as error:  # a decoding error is one
        raise AutofrError(f"{path}: {error}") from error
    if not rows:
        raise AutofrError(f"{path} is empty")
    return names, np.array(rows)


def _pairs(
    pairs: npt.NDArray[np.int64], known: npt.NDArray[np.int64], path: Path
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_], list[str]]:
    if not np.isin(pairs[:, 2], (0, 1)).all():
        raise AutofrError(f"{path}: the third number of a line is 1 or 0")
    sides = pairs[:, :2]
    there = np.isin(sides, known).all(1)
    absent = [" ".join(map(str, row)) for row in sides[~there].tolist()]
    notes = tolerated(absent, len(pairs), "pairs name a missing template")
    places = np.searchsorted(known, sides[there])
    return places[:, 0], places[:, 1], pairs[there, 2] == 1, notes
