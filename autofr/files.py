"""Writing files so that a crash leaves the old one or the new one, and that what is written stays written."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable (a file's own fsync does not cover its name)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` fill a temporary file, make it durable, and move it to ``path`` in one step."""
    temporary = path.with_name(path.name + ".tmp")
    write(temporary)
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data``, durably."""
    write_durably(path, lambda temporary: _bytes(temporary, data))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, durably."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_durably(path, lambda temporary: _text(temporary, text))


def _bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """Hash of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
