"""Contact sheets of masked faces: what one looks at to judge them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from autofr.compute.seeding import seeded
from autofr.data.faces import Faces
from autofr.detection import align_face, create_detector, usable
from autofr.exceptions import AutofrError
from autofr.io.files import write_durably
from autofr.io.images import SUFFIXES, list_images, open_image
from autofr.masks import RandomFaceMask, landmark_scheme, read_landmarks
from autofr.masks.geometry import AWAY, FRONT, SIDE, UNSEEN, placement
from autofr.masks.schemes import COUNT

LARGEST = 16_000
"""Side of a sheet in pixels, at most: picture formats end there."""


@dataclass(frozen=True)
class Sheet:
    """What a contact sheet shows.

    Attributes:
        path: the picture.
        faces: how many faces.
        placed: how many of them by kind: whole masks, one-sided ones, bare because turned away, bare because nothing
            was found to hang a mask on.
    """

    path: Path
    faces: int
    placed: dict[str, int]


def mask_sheet(faces: Faces, path: Path, seed: int = 0, columns: int = 8, rows: int = 3) -> None:
    """A sheet of faces, each above its masked copy, drawn evenly from a set.

    Args:
        faces: a set with landmarks.
        path: the picture to write.
        seed: decides the masks.
        columns, rows: size of the sheet, in faces.
    """
    if faces.anchors is None:
        raise ValueError("a mask sheet needs landmarks")
    wanted = torch.linspace(0, len(faces) - 1, min(len(faces), columns * rows)).long()
    plain = faces.read(wanted).float() / 255
    with seeded(seed, "mask sheet"):
        masked = RandomFaceMask(p=1.0)(plain, faces.anchors[wanted])
    _write(plain, masked, path, columns)


def draw_sheet(
    source: str | Path,
    output: str | Path,
    *,
    landmarks: str | Path | None = None,
    landmark_scheme: str | None = None,
    detector: str | None = None,
    coverage: str | None = None,
    material: str | None = None,
    textures: str | Path | None = None,
    faces: int = 24,
    columns: int = 8,
    size: int = 112,
    seed: int = 0,
) -> Sheet:
    """Put masks on an image or on a folder's, and write a sheet of faces, each above its masked copy.

    Square images that a landmarks file knows are shown as they are; faces of other photographs are found by a detector
    and cut out by the ArcFace template.

    Args:
        source: an image, or a folder of them at any depth; of many, ``faces`` are drawn evenly.
        output: the picture to write.
        landmarks: an ``.npz``; ``None``: ``SOURCE_landmarks.npz`` beside a folder, if there is one, else a detector.
        landmark_scheme: what its points are; ``None``: the file or their number says it.
        detector: a name for :func:`autofr.detection.create_detector`; it also overrules a file that is only found.
        coverage, material: one kind of :class:`autofr.masks.RandomFaceMask`'s; ``None``: all, in their usual shares.
        textures: a folder of cloth.
        faces: most faces to show.
        columns: faces in a row.
        size: side of a face in pixels.
        seed: decides the masks.

    Raises:
        AutofrError: bad input; nothing has been written then.
    """
    target = Path(output)
    if target.suffix.lower() not in SUFFIXES:
        raise AutofrError(f"{target} should end in one of {', '.join(sorted(SUFFIXES))}")
    if target.is_dir() or target.resolve() == Path(source).resolve():
        raise AutofrError(f"{target} is a folder, or the image itself; name another file")
    if landmarks is not None and detector is not None:
        raise AutofrError("--landmarks and --detector exclude each other")
    if min(faces, columns) < 1 or not 16 <= size <= 1024 or seed < 0:
        raise AutofrError(
            "a sheet needs 1 face and 1 column or more, faces of 16 to 1024 pixels, and a seed of 0 or more"
        )
    if max(min(columns, faces), 2 * -(-faces // columns)) * size > LARGEST:
        raise AutofrError(f"the sheet would be larger than {LARGEST} pixels; take fewer faces or a smaller size")
    try:
        mask = RandomFaceMask(
            p=1.0,
            coverage=None if coverage is None else {coverage: 1.0},
            material=None if material is None else {material: 1.0},
            textures=textures,
            scheme="anchors",
        )
    except ValueError as error:
        raise AutofrError(str(error)) from None
    root, names = _images(Path(source))
    known, scheme = _known(Path(source), landmarks, landmark_scheme, detector)
    if known is None and landmark_scheme is not None:
        raise AutofrError("--landmark-scheme goes with a landmarks file; a detector knows its own")
    if known is not None and not any(name in known for name in names):
        raise AutofrError(f"the landmarks name no image of {source}: they have '{next(iter(known))}', it '{names[0]}'")
    wanted = [names[i] for i in np.linspace(0, len(names) - 1, min(len(names), faces)).round().astype(int)]
    finder = _Finder(known, scheme, detector, size)
    shown = [finder.face(root / name, name) for name in wanted]
    plain = torch.stack([pixels for pixels, _ in shown])
    anchors = torch.stack([points for _, points in shown])
    with seeded(seed, "mask sheet"):
        masked = mask(plain, anchors)
    _write(plain, masked, target, columns)
    kinds = placement(anchors, size, size)
    told = {FRONT: "masked", SIDE: "masked on one side", AWAY: "turned away", UNSEEN: "without landmarks"}
    return Sheet(target, len(wanted), {name: int((kinds == kind).sum()) for kind, name in told.items()})


class _Finder:
    """Faces with their anchors, from a landmarks file or by a detector."""

    def __init__(self, known: dict[str, Any] | None, scheme: str | None, detector: str | None, size: int) -> None:
        self.known, self.scheme, self.size = known, scheme, size
        self.detector = create_detector(detector) if known is None else None

    def face(self, path: Path, name: str) -> tuple[Tensor, Tensor]:
        """Pixels (3, size, size) in [0, 1], and anchors (19, 2), NaN if there are none."""
        try:
            image = open_image(path)
        except OSError as error:
            raise AutofrError(f"an image cannot be read: {error}") from error
        points = self._points(image, name)
        if (
            points is not None
            and np.isfinite(points).all()
            and (self.detector is not None or image.width != image.height)
        ):
            try:
                image, points = align_face(image, points, self._scheme)
            except ValueError:
                points = None
        stored = np.array(image.size, dtype=np.float32)
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255
        if points is None:
            return pixels, torch.full((COUNT, 2), torch.nan)
        scaled = (torch.from_numpy(points) + 0.5) * (self.size / torch.from_numpy(stored)) - 0.5
        return pixels, landmark_scheme(self._scheme).anchors(scaled)

    @property
    def _scheme(self) -> str:
        return self.detector.scheme if self.detector is not None else str(self.scheme)

    def _points(self, image: Image.Image, name: str) -> npt.NDArray[np.float32] | None:
        if self.detector is None:
            return None if self.known is None else self.known.get(name)
        found = usable(self.detector.detect(np.asarray(image)), self._scheme)
        return found[0].landmarks if found else None


def _images(source: Path) -> tuple[Path, list[str]]:
    if source.is_file():
        return source.parent, [source.name]
    if not source.exists():
        raise AutofrError(f"no such image or folder {source}")
    return source, list_images(source)


def _known(
    source: Path, landmarks: str | Path | None, scheme: str | None, detector: str | None
) -> tuple[dict[str, Any] | None, str | None]:
    """Landmarks by name below the source's folder, and their scheme; ``None``: to be detected."""
    beside = source.resolve().with_name(f"{source.resolve().name}_landmarks.npz")
    if landmarks is None and (detector is not None or source.is_file() or not beside.is_file()):
        return None, None
    rows, name = read_landmarks(Path(landmarks) if landmarks is not None else beside, scheme)
    if source.is_file():  # the file names it by its path below some folder
        matching = [key for key in rows if source.resolve().as_posix().endswith("/" + key)]
        if not matching:
            raise AutofrError(f"landmarks file {landmarks} does not name {source}")
        rows = {source.name: rows[max(matching, key=len)]}
    return dict(rows), name


def _write(plain: Tensor, masked: Tensor, path: Path, columns: int) -> None:
    size, columns = plain.shape[-1], min(columns, len(plain))
    bands = []
    for start in range(0, len(plain), columns):
        for images in (plain, masked):
            band = torch.ones(3, size, size * columns)
            row = torch.cat(list(images[start : start + columns]), dim=2)
            band[:, :, : row.shape[2]] = row
            bands.append(band)
    sheet = (torch.cat(bands, dim=1) * 255).round().byte().permute(1, 2, 0).numpy()
    zoom = max(1, 128 // size)  # small faces are shown larger, pixel by pixel
    picture = Image.fromarray(sheet.repeat(zoom, 0).repeat(zoom, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = Image.registered_extensions()[path.suffix.lower()]
    write_durably(path, lambda temporary: picture.save(temporary, format=kind))
