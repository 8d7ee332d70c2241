"""Face sets: folders of identities, RecordIO files, and drawn faces."""

from __future__ import annotations

from pathlib import Path

from autofr.data.faces import Faces, split_by_identity
from autofr.data.folder import scan_folder
from autofr.data.load import load_faces
from autofr.data.reading import Scan
from autofr.data.recordio import scan_records
from autofr.data.synthetic import synthetic_faces

__all__ = ["Faces", "Scan", "load_faces", "scan", "scan_folder", "scan_records", "split_by_identity", "synthetic_faces"]


def scan(data: str | Path, landmarks: str | Path | None = None, scheme: str | None = None) -> Scan:
    """Find the images of a folder (:func:`scan_folder`) or a ``.rec`` file (:func:`scan_records`), by its name."""
    if Path(data).suffix == ".rec":
        return scan_records(data, landmarks, scheme)
    return scan_folder(data, landmarks, scheme)
