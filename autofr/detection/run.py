"""`autofr landmarks`: the landmarks of a folder of photographs, in one file; restartable."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autofr.console import Display, printed
from autofr.detection.align import align_face, can_align
from autofr.detection.face import Detector, usable
from autofr.detection.registry import create_detector
from autofr.exceptions import AutofrError
from autofr.io.files import write_bytes
from autofr.io.images import list_images, open_image
from autofr.masks.schemes import landmark_scheme

logger = logging.getLogger(__name__)

FORMAT = 1
"""Of the notes that a run leaves for its restart."""


@dataclass
class Found:
    """What a run found.

    Attributes:
        output: the ``.npz`` that :func:`autofr.masks.read_landmarks` reads.
        images: photographs looked at.
        detected: those with a face.
        several: those with more than one face; the largest was taken.
        misses: name and reason of each image without landmarks.
        report: the file that lists the misses; ``None`` where there are none.
    """

    output: Path
    images: int = 0
    detected: int = 0
    several: int = 0
    misses: list[tuple[str, str]] = field(default_factory=list)
    report: Path | None = None


def find_landmarks(
    folder: str | Path,
    output: str | Path,
    *,
    align: str | Path | None = None,
    detector: str | Detector | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> Found:
    """Find the largest face of every photograph below a folder, and write its landmarks.

    What was found is noted image by image beside ``output``; a run that was stopped goes on from there when it is
    started again in the same way.

    Args:
        folder: photographs, at any depth.
        output: the ``.npz`` to write: ``names`` (paths below the folder), ``landmarks`` (N, K, 2; pixels; NaN without
            a face), ``detected`` (N), ``scores`` (N) and ``scheme``.
        align: a folder for the faces, cut out at 112x112 by the ArcFace template, under the photographs' names. The
            landmarks are then in pixels of these faces.
        detector: a name for :func:`autofr.detection.create_detector`, or a detector.
        device: where its networks run.
        progress: show a bar.

    Raises:
        AutofrError: no images, an output that exists or cannot be written, notes of another run, a detector that is
            not here; or no face in any image.
    """
    root, target = Path(folder), Path(output)
    names = list_images(root)
    if target.suffix != ".npz":
        raise AutofrError(f"{target} should end in .npz")
    if target.exists():
        raise AutofrError(f"{target} exists; remove it, or name another with -o")
    aligned = None if align is None else Path(align)
    if aligned is not None and root.resolve() in (aligned.resolve(), *aligned.resolve().parents):
        raise AutofrError(f"--align {aligned} lies among the photographs of {root}; name a folder outside")
    finder = create_detector(detector, device) if isinstance(detector, str) or detector is None else detector
    if aligned is not None:
        can_align(finder.scheme)
    about = {
        "format": FORMAT,
        "folder": str(root.resolve()),
        "align": None if aligned is None else str(aligned.resolve()),
        "detector": finder.name,
    }
    notes = target.with_name(target.name + ".partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    if aligned is not None:
        aligned.mkdir(parents=True, exist_ok=True)  # told now if it cannot be made
    done = _notes(notes, about)
    display = Display(progress)
    if done:
        with printed(progress):
            logger.info(f"going on after {len(done)} of {len(names)} images ({notes})")
    with notes.open("a", encoding="utf-8") as log, display.bar(f"landmarks by {finder.name}", len(names)) as advance:
        if done is None:
            done = {}
            log.write(json.dumps(about) + "\n")
            log.flush()
        for name in names:
            if name not in done:
                done[name] = _look(root / name, finder, None if aligned is None else aligned / name)
                log.write(json.dumps({"name": name, **done[name]}) + "\n")
                log.flush()
            advance(1)
    try:
        found = _write(target, names, done, finder.scheme)
    except AutofrError:  # nothing to go on with; a full disk leaves the notes
        notes.unlink()
        raise
    notes.unlink()
    return found


def _look(path: Path, detector: Detector, face_path: Path | None) -> dict[str, Any]:
    """What one photograph shows; its face is written before it is noted."""
    try:
        image = open_image(path)
    except OSError as error:
        return {"missed": f"cannot be read: {error}"}
    try:
        faces = detector.detect(np.asarray(image))
    except (ValueError, RuntimeError, ArithmeticError) as error:
        return {"missed": f"the detector failed: {error}"}
    faces = usable(faces, detector.scheme)
    if not faces:
        return {"missed": "no face found"}
    face = faces[0]
    landmarks = face.landmarks
    if face_path is not None:
        try:
            crop, landmarks = align_face(image, face.landmarks, detector.scheme)
        except ValueError as error:
            return {"missed": f"cannot be aligned: {error}"}
        written = io.BytesIO()
        quality = {"quality": 95, "subsampling": 0} if face_path.suffix.lower() in (".jpg", ".jpeg") else {}
        crop.save(written, format=_format(face_path), **quality)
        face_path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(face_path, written.getvalue())
    rounded = [[round(float(x), 3), round(float(y), 3)] for x, y in landmarks]
    return {"landmarks": rounded, "score": face.score, "faces": len(faces)}


def _format(path: Path) -> str:
    return {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP"}[path.suffix.lower()]


def _notes(path: Path, about: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """What an earlier run noted; a last line cut short is taken out of the file. ``None``: nothing was begun."""
    if not path.exists():
        return None
    lines = list(_whole_lines(path))
    if not lines and "\n" not in path.read_text(encoding="utf-8", errors="replace"):  # stopped in its first line
        path.unlink()
        return None
    if not lines or lines[0] != about:
        raise AutofrError(
            f"{path} was left by another run (folder, --align or detector differ); remove it to start anew"
        )
    write_bytes(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
    return {line.pop("name"): line for line in lines[1:]}


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)):
        try:
            record = json.loads(line)
            whole = line.endswith("\n") and isinstance(record, dict) and (number == 0 or _sound(record))
        except ValueError:
            whole = False
        if not whole:
            return
        yield record


def _sound(record: dict[str, Any]) -> bool:
    if not isinstance(record.get("name"), str):
        return False
    return isinstance(record.get("missed"), str) or {"landmarks", "score", "faces"} <= record.keys()


def _write(target: Path, names: list[str], done: dict[str, dict[str, Any]], scheme: str) -> Found:
    points = landmark_scheme(scheme).count
    landmarks = np.full((len(names), points, 2), np.nan, dtype=np.float32)
    scores = np.full(len(names), np.nan, dtype=np.float32)
    found = Found(target, images=len(names))
    for row, name in enumerate(names):
        note = done[name]
        if "missed" in note:
            found.misses.append((name, note["missed"]))
            continue
        landmarks[row], scores[row] = note["landmarks"], note["score"]
        found.several += note["faces"] > 1
    detected = np.isfinite(landmarks).all((1, 2))
    found.detected = int(detected.sum())
    if found.misses:
        found.report = target.with_name(target.stem + "_misses.csv")
        text = io.StringIO()
        csv.writer(text).writerows([("name", "reason"), *found.misses])
        write_bytes(found.report, text.getvalue().encode(errors="surrogateescape"))
    if not found.detected:
        raise AutofrError(f"no face found in any of {len(names)} images; the reasons are in {found.report}")
    packed = io.BytesIO()
    np.savez_compressed(
        packed, names=np.array(names), landmarks=landmarks, detected=detected, scores=scores, scheme=np.array(scheme)
    )
    write_bytes(target, packed.getvalue())
    return found
