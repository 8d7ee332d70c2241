"""Where the bytes of an image are: in a file of its own, or in a record of a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

MAX_BYTES = 2**28
MAGIC = 0xCED7230A
"""What each part of a record begins with in a RecordIO file; then comes its length."""
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class StoredImage(Protocol):
    """Where the bytes of an image are.

    Attributes:
        name: what it is called in an error.
    """

    @property
    def name(self) -> str: ...

    def read(self) -> bytes:
        """The bytes, as they are stored.

        Raises:
            OSError: they cannot be read; the message names the image.
        """


class ImageFile(NamedTuple):
    """An image in a file of its own; its ``name`` is the path."""

    name: str

    def read(self) -> bytes:
        """See :class:`StoredImage`."""
        return read_bytes(self.name)


class ImageRecord(NamedTuple):
    """An image in a record of a RecordIO file (:mod:`autofr.data.recordio`).

    Attributes:
        name: what it is called in an error.
        path: the file.
        first, last: which of its bytes are the record.
        image_at: where in the record's content the image begins.
    """

    name: str
    path: str
    first: int
    last: int
    image_at: int

    def read(self) -> bytes:
        """See :class:`StoredImage`."""
        try:
            file = os.open(self.path, _READ)
            try:
                raw = os.pread(file, self.last - self.first, self.first)
            finally:
                os.close(file)
        except OSError as error:
            raise OSError(f"{self.name}: {error}") from error
        if len(raw) < self.last - self.first:
            raise OSError(f"{self.name}: the file was cut short meanwhile")
        # A record that holds the magic number at a multiple of 4 bytes is stored in parts, without it.
        parts, place = [], 0
        while place + 8 <= len(raw):
            length = int.from_bytes(raw[place + 4 : place + 8], "little") & (2**29 - 1)
            parts.append(raw[place + 8 : place + 8 + length])
            place += 8 + (length + 3) // 4 * 4
        return MAGIC.to_bytes(4, "little").join(parts)[self.image_at :]


def open_regular(path: Path | str, buffering: int) -> BinaryIO:
    """A file, open for reading.

    Raises:
        OSError: it is missing, or no regular file: a named pipe would be waited for.
    """
    file = os.fdopen(os.open(path, _READ), "rb", buffering)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path} is no regular file")
    return file


def read_bytes(path: Path | str) -> bytes:
    """The bytes of an image file.

    Raises:
        OSError: it is missing, no regular file (a named pipe would be waited for), or longer than ``MAX_BYTES``.
    """
    try:
        file = os.open(path, _READ)
        try:
            about = os.fstat(file)
            if not stat.S_ISREG(about.st_mode):
                raise OSError("it is no regular file")
            if about.st_size > MAX_BYTES:
                raise OSError(f"it has over {MAX_BYTES} bytes")
            raw = os.read(file, about.st_size)
            if len(raw) < about.st_size:
                raise OSError("it was cut short meanwhile")
            return raw
        finally:
            os.close(file)
    except OSError as error:
        raise OSError(f"{path}: {error}") from error
