"""The faces that a search was told of: found, read, and divided into those to train on and those to score on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from autofr.console import Display
from autofr.data import Faces, Scan, load_faces, scan, split_by_identity, synthetic_faces
from autofr.data.samples import read_validation
from autofr.data.shards import Shards, is_shards, open_shards
from autofr.data.synthetic import SYNTHETIC_IDENTITIES, SYNTHETIC_IMAGES
from autofr.engine.request import data_config
from autofr.exceptions import AutofrError

logger = logging.getLogger(__name__)


def scan_call(call: dict[str, Any]) -> Scan | Faces | Shards | None:
    """Where the faces of a call are; ``None``: they are drawn.

    Raises:
        AutofrError: there are none, or settings go with nothing.
    """
    data, landmarks, scheme = call["data"], call["landmarks"], call["landmark_scheme"]
    if isinstance(data, (str, Path)):
        if not is_shards(data):
            return scan(data, landmarks, scheme)
        if landmarks is not None or scheme is not None:
            raise AutofrError("--landmarks goes with folders and .rec files: shards bring their own")
        shards = open_shards(data)
        if call["validation_identities"] not in (None, shards.held_back):
            raise AutofrError(
                f"--validation-identities is for 'autofr pack' to say: these shards hold back {shards.held_back}"
            )
        return shards
    if landmarks is not None or scheme is not None:
        raise AutofrError("--landmarks goes with --data: drawn faces and faces in memory bring their own")
    found: Faces | None = data
    return found


def log_notes(faces: Faces) -> None:
    """Log what was skipped or is missing in a set of faces."""
    for note in faces.notes:
        logger.warning(note.text)


def images_of(source: Scan | Faces | Shards | None) -> int:
    if source is None:
        return SYNTHETIC_IDENTITIES * SYNTHETIC_IMAGES
    return len(source) if isinstance(source, Shards) else len(source.names)


def load_call(
    source: Scan | Faces | Shards | None, image_size: int, call: dict[str, Any], display: Display
) -> tuple[Faces | Shards, Faces, dict[str, Any]]:
    """What to train on, what to score on, and what ``config.json`` holds of the whole."""
    if isinstance(source, Shards):
        with display.bar("reading faces to score on", sum(count for _, count in source.validation)) as advance:
            held_back = read_validation(source, image_size, advance)
        log_notes(held_back)
        return source, held_back, data_config(call, source, held_back)
    faces = _faces(source, image_size, call["seed"], display)
    log_notes(faces)
    training, held_back = split_by_identity(faces, call["validation_identities"], call["seed"])
    return training, held_back, data_config(call, faces, held_back)


def _faces(source: Scan | Faces | None, image_size: int, seed: int, display: Display) -> Faces:
    if isinstance(source, Faces):
        return source
    if source is None:
        with display.bar("drawing faces", SYNTHETIC_IDENTITIES * SYNTHETIC_IMAGES) as advance:
            return synthetic_faces(SYNTHETIC_IDENTITIES, SYNTHETIC_IMAGES, image_size, seed, advance)
    with display.bar("reading faces", len(source.names)) as advance:
        return load_faces(source, image_size, advance)
