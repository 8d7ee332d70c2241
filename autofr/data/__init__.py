"""Face sets: folders of identities, RecordIO files, shards, and drawn faces."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autofr.data.faces import Faces, split_by_identity
    from autofr.data.folder import scan_folder
    from autofr.data.load import load_faces
    from autofr.data.reading import Scan
    from autofr.data.recordio import scan_records
    from autofr.data.synthetic import synthetic_faces

# The process that reads shards (autofr.data.stream) is of this package, and does without torch.
_LAZY = {
    "Faces": "autofr.data.faces",
    "Scan": "autofr.data.reading",
    "load_faces": "autofr.data.load",
    "scan_folder": "autofr.data.folder",
    "scan_records": "autofr.data.recordio",
    "split_by_identity": "autofr.data.faces",
    "synthetic_faces": "autofr.data.synthetic",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'autofr.data' has no attribute '{name}'")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


__all__ = ["Faces", "Scan", "load_faces", "scan", "scan_folder", "scan_records", "split_by_identity", "synthetic_faces"]


def scan(data: str | Path, landmarks: str | Path | None = None, scheme: str | None = None) -> Scan:
    """Find the images of a folder (:func:`scan_folder`) or a ``.rec`` file (:func:`scan_records`), by its name."""
    from autofr.data.folder import scan_folder
    from autofr.data.recordio import scan_records

    if Path(data).suffix == ".rec":
        return scan_records(data, landmarks, scheme)
    return scan_folder(data, landmarks, scheme)
