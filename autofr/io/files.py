"""Writing files so that a crash leaves the old one or the new one, and that what is written stays written."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autofr.exceptions import AutofrError, DamagedFileError

if TYPE_CHECKING:
    from torch import Tensor

MAX_JSON, MAX_DEPTH = 2**28, 100
"""A JSON file that is larger, or nested more deeply, is damaged, or no file of ours."""


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable (a file's own fsync does not cover its name)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` fill a temporary file, make it durable, and move it to ``path`` in one step.

    Raises:
        OSError: it cannot be written (a full disk); nothing is left of it, and what was there before still is.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def append_durably(path: Path, data: bytes) -> None:
    """Add ``data`` at the end of a file, which is made if it is not there.

    Raises:
        OSError: it cannot be written; the file is cut back to what it was.
    """
    with open(path, "ab", buffering=0) as file:  # a buffer would be written once more when the file is closed
        before = file.seek(0, os.SEEK_END)
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                os.truncate(path, before)
            raise
    sync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data``, durably."""
    write_durably(path, lambda temporary: _bytes(temporary, data))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, durably."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_durably(path, lambda temporary: _text(temporary, text))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors, of any device, as one safetensors file.

    Raises:
        OSError: it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, path, metadata=metadata)
    except SafetensorError as error:  # its own error also where the disk is full
        raise OSError(f"{path} cannot be written: {error}") from error


@dataclass(frozen=True)
class Output:
    """A kind of folder that a command writes, and writes anew. Nothing is replaced but what such a folder holds.

    Attributes:
        what: it is, for errors.
        names: patterns of the files in it.
        nested: whether it may have folders of its kind in it.
    """

    what: str
    names: tuple[str, ...]
    nested: bool = False

    def check(self, folder: Path) -> None:
        """Nothing, if ``folder`` can be made, or holds nothing but files of this kind.

        Raises:
            AutofrError: something else is there, a file is in the way, or it is the working directory.
        """
        folder = folder.resolve()
        blocking = next((p for p in (folder, *folder.parents) if p.exists() and not p.is_dir()), None)
        if blocking is not None:
            raise AutofrError(f"{folder} cannot be made: {blocking} is a file")
        if folder in (Path.cwd(), *Path.cwd().parents):
            raise AutofrError(f"{folder} is the working directory or above it; name another folder")
        strange = self._strange(folder) if folder.exists() else None
        if strange is not None:
            raise AutofrError(f"{folder} is no {self.what}: it has {strange.name}; name another folder")

    def _strange(self, folder: Path) -> Path | None:
        """The first entry that is not of this kind."""
        for entry in sorted(folder.iterdir()):
            if entry.is_dir() and not entry.is_symlink() and self.nested:
                strange = self._strange(entry)
                if strange is not None:
                    return strange
            elif not (entry.is_file() and any(entry.match(name) for name in self.names)):
                return entry
        return None

    @contextmanager
    def replacing(self, folder: Path) -> Iterator[Path]:
        """:func:`replacing_folder`, of this kind alone."""
        with replacing_folder(folder) as filled:
            yield filled
            self.check(folder)  # again: much may have happened since


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill. It takes the place of ``folder`` when the block ends well; else nothing is left of it.

    What a killed process left is put in order by the next one: an older folder that had been moved aside comes back.
    """
    folder = folder.resolve()
    temporary = folder.with_name(f".{folder.name}.autofr")
    filled, old = temporary / "new", temporary / "old"
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    filled.mkdir(parents=True)
    try:
        yield filled
        if folder.exists():
            folder.rename(old)
        try:
            filled.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
        sync_folder(folder.parent)
    finally:
        if folder.exists() or not old.exists():  # else the old one is there alone
            shutil.rmtree(temporary, ignore_errors=True)


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        DamagedFileError: it is damaged.
    """
    if path.stat().st_size > MAX_JSON:
        raise DamagedFileError(f"{path} is damaged: it has {path.stat().st_size} bytes, over {MAX_JSON}")
    try:
        return parse_json(path.read_bytes())
    except ValueError as error:
        raise DamagedFileError(f"{path} is damaged: {error}") from error


def parse_json(text: bytes) -> Any:
    """What a piece of JSON in UTF-8 says. NaN and infinity, which JSON does not have, are refused.

    Raises:
        ValueError: it is no JSON, or nested so deeply that nobody meant it.
    """
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level, depth = [value], 0
    while level:
        depth += 1
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level = [v for values in inner for v in values]
        if depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
    return value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


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
