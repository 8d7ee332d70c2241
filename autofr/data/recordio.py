"""Faces in an MXNet RecordIO file, ``train.rec``, the form of the public face recognition sets. No MXNet.

A file is a row of records: a magic number, a length, the content, filled up to a multiple of 4 bytes. A record's
content is a header (flag, label, two ids), ``flag`` more labels, and the bytes of an image. InsightFace's sets have
records of the identities too, and one that says where those are; neither holds an image. The file is walked from record
to record, so no index is needed; ``train.idx`` is checked where it is, and nothing is believed that the file does not
bear out.
"""

from __future__ import annotations

import os
import re
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from autofr.data.reading import find_landmarks
from autofr.exceptions import AutofrError
from autofr.io.image_source import MAGIC, ImageRecord

MAX_RECORD = 2**26
"""Bytes. A face of 112 pixels has a few thousand; what claims more is no image."""
_WORD, _HEADER = struct.Struct("<II"), struct.Struct("<IfQQ")


@dataclass(frozen=True)
class RecordScan:
    """The images of a RecordIO file, found but not yet read.

    Attributes:
        source, names, landmarks, scheme: see :class:`autofr.data.reading.Scan`. A name is ``LABEL/RECORD``, numbers of
            7 and 8 digits; records are counted from 0.
        spans: (N, 3) int64, first and last byte of each record in the file, and where in its content the image begins.
    """

    source: Path
    names: list[str]
    landmarks: Path | None
    scheme: str | None
    spans: npt.NDArray[np.int64]

    def image(self, place: int) -> ImageRecord:
        """See :class:`autofr.data.reading.Scan`."""
        return ImageRecord(f"{self.source}: {self.names[place]}", str(self.source), *self.spans[place].tolist())

    def there(self) -> bool:
        """See :class:`autofr.data.reading.Scan`."""
        return self.source.is_file() and self.source.stat().st_size > 0


def scan_records(path: str | Path, landmarks: str | Path | None = None, scheme: str | None = None) -> RecordScan:
    """Find the images of a RecordIO file. Only headers are read.

    Args:
        path: the ``.rec`` file.
        landmarks: an ``.npz`` for :func:`autofr.masks.read_landmarks`; ``None``: ``FILE_landmarks.npz`` beside it.
        scheme: what its points are; ``None``: the file or their number says it.

    Raises:
        AutofrError: no such file; no RecordIO, cut short, or with a record that claims what the file does not hold; or
            no image in it.
    """
    source = Path(path)
    if not source.is_file():
        raise AutofrError(f"no file {source}; --data takes a folder with one sub-folder an identity, or a .rec file")
    names: list[str] = []
    spans: list[tuple[int, int, int]] = []
    starts = array("q")
    with open(source, "rb") as file:
        for number, (first, last, length, head) in enumerate(_records(source, file)):
            starts.append(first)
            label, image_at = _header(source, first, length, head)
            if length > image_at:
                names.append(f"{label:07d}/{number:08d}")
                spans.append((first, last, image_at))
        if not names:
            raise AutofrError(f"{source} holds no images")
        if source.with_suffix(".idx").is_file():
            _check_index(source, file, starts, len(names))
    return RecordScan(source, names, find_landmarks(source.resolve(), landmarks, scheme), scheme, np.array(spans))


def _records(path: Path, file: BinaryIO) -> Iterator[tuple[int, int, int, bytes]]:
    """First and last byte of each record, how long its content is, and the beginning of that."""
    size = os.fstat(file.fileno()).st_size
    position = 0
    while position < size:
        first, length, head = position, 0, b""
        while True:
            part, stated = _word(path, file.read(_WORD.size), position, size)
            if (part in (2, 3)) != (position > first):
                raise AutofrError(f"{path}: the record at byte {first} is put together of parts out of order")
            length += stated + (_WORD.size // 2 if part in (2, 3) else 0)  # a magic number was left out between parts
            if length > MAX_RECORD:
                raise AutofrError(f"{path}: the record at byte {first} has {length} bytes, over {MAX_RECORD}")
            if position == first:
                head = file.read(min(stated, _HEADER.size + 4))
            position += _WORD.size + (stated + 3) // 4 * 4
            file.seek(position)
            if part in (0, 3):
                break
        yield first, min(position, size), length, head


def _check_index(path: Path, file: BinaryIO, starts: array[int], images: int) -> None:
    """Nothing, if ``train.idx`` is of this file, and the record of key 0, which says how many images there are, right.

    Raises:
        AutofrError: it is not.
    """
    index = path.with_suffix(".idx")
    remedy = f"make the index anew, or remove it: {path.name} is read without"
    offsets: dict[int, int] = {}
    for number, line in enumerate(index.read_bytes().splitlines(), 1):
        match = re.fullmatch(rb"(\d{1,18})\t(\d{1,18})", line.strip())
        if match is None:
            raise AutofrError(f"{index}, line {number}: it has no key and place; {remedy}")
        key, place = int(match[1]), int(match[2])
        at = bisect_left(starts, place)
        if at == len(starts) or starts[at] != place:
            size = os.fstat(file.fileno()).st_size
            what = f"past the end of {path.name}, {size} bytes" if place >= size else f"where {path.name} has no record"
            raise AutofrError(f"{index}, line {number}: byte {place} of key {key} is {what}; {remedy}")
        offsets[key] = place
    if 0 not in offsets:
        return
    file.seek(offsets[0])
    head = file.read(_WORD.size + _HEADER.size + 8)
    if len(head) < _WORD.size + _HEADER.size + 8:
        return
    (_, length), flag = _WORD.unpack_from(head), _HEADER.unpack_from(head, _WORD.size)[0]
    if flag != 2 or length != _HEADER.size + 8:
        return  # a set whose first record is an image
    first, last = struct.unpack_from("<2f", head, _WORD.size + _HEADER.size)
    # float32: past 2**24 they are rounded.
    if first != np.float32(images + 1) or not first <= last <= np.float32(max(offsets) + 1):
        raise AutofrError(
            f"{path}: its header says that records 1 to {first - 1:g} are images and those to {last - 1:g} identities; "
            f"it has {images} images and {len(starts)} records: it is cut short, or of another set"
        )


def _word(path: Path, word: bytes, position: int, size: int) -> tuple[int, int]:
    """Which part of a record is at ``position`` (0: all of it; 1, 2, 3: its beginning, middle, end), and its length."""
    if len(word) < _WORD.size:
        raise AutofrError(f"{path} is cut short: what is at byte {position} has no length, or no end")
    magic, stated = _WORD.unpack(word)
    part, length = stated >> 29, stated & (2**29 - 1)
    if magic != MAGIC or part > 3:
        raise AutofrError(f"{path} is no RecordIO file: at byte {position} is no record")
    if position + _WORD.size + length > size:
        raise AutofrError(f"{path} is cut short: the record at byte {position} claims {length} bytes, past its end")
    return part, length


def _header(path: Path, position: int, length: int, head: bytes) -> tuple[int, int]:
    """The identity of a record, and how many bytes of its content stand before the image."""
    if len(head) < _HEADER.size:
        raise AutofrError(f"{path}: the record at byte {position} has {length} bytes, and no header")
    flag, label, _, _ = _HEADER.unpack(head[: _HEADER.size])
    before = _HEADER.size + 4 * flag
    if before > length:
        raise AutofrError(f"{path}: the record at byte {position} claims {flag} labels, and has {length} bytes")
    if before == length:  # an identity's record, or the first one
        return 0, before
    if flag:
        if len(head) < _HEADER.size + 4:
            raise AutofrError(f"{path}: the record at byte {position} has no label")
        (label,) = struct.unpack("<f", head[_HEADER.size :])
    if not (0 <= label < 1e7 and label == int(label)):
        raise AutofrError(f"{path}: the record at byte {position} is of identity {label}, which is no whole number")
    return int(label), before
