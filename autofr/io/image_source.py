"""Where the bytes of an image are: in a file of its own, or in a record of a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple, Protocol

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
            file = open_regular(self.path)
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


def open_regular(path: Path | str) -> int:
    """The descriptor of a file, open for reading.

    Raises:
        OSError: it is missing, or no regular file: a named pipe would be waited for.
    """
    file = os.open(path, _READ)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError("it is no regular file")
    return file


def read_bytes(path: Path | str) -> bytes:
    """The bytes of an image file.

    Raises:
        OSError: as :func:`open_regular`, or it is longer than ``MAX_BYTES``; the message names it.
    """
    try:
        file = open_regular(path)
        try:
            size = os.fstat(file).st_size
            if size > MAX_BYTES:
                raise OSError(f"it has over {MAX_BYTES} bytes")
            raw = os.read(file, size)
            if len(raw) < size:
                raise OSError("it was cut short meanwhile")
            return raw
        finally:
            os.close(file)
    except OSError as error:
        raise OSError(f"{path}: {error}") from error
