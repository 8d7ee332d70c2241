"""Writing files so that a crash leaves the old one or the new one, and that what is written stays written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autofr.exceptions import AutofrError


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


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``folder`` when the block ends well; else nothing is left of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        filled = temporary / "new"
        filled.mkdir()
        yield filled
        if folder.exists():
            folder.rename(temporary / "old")
        try:
            filled.rename(folder)
        except OSError:
            (temporary / "old").rename(folder)
            raise
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(folder: Path, marker: str, what: str) -> None:
    """Nothing, if ``folder`` can be made, or is empty, or was made by us: it has ``marker`` in it or one below.

    Raises:
        AutofrError: something else is there, or a file is in the way.
    """
    blocking = next((p for p in folder.parents if p.exists() and not p.is_dir()), None)
    if blocking is not None:
        raise AutofrError(f"{folder} cannot be made: {blocking} is a file")
    if folder.exists() and not (
        folder.is_dir()
        and ((folder / marker).is_file() or not any(folder.iterdir()) or any(folder.glob(f"*/{marker}")))
    ):
        raise AutofrError(f"{folder} exists and is no {what}; name another folder with --out")


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
