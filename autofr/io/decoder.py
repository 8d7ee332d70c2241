"""Many images at a time, from where they are stored to pixels, on all cores: in processes of their own, since threads
would wait for each other with all that is Python around an image."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import threading
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from autofr.exceptions import AutofrError
from autofr.io.image_source import StoredImage
from autofr.io.images import Pixels, decode_into
from autofr.system.remote_object import Worker, WorkerDiedError
from autofr.system.thread_pool import in_parallel
from autofr.system.torchrun import cores

FEW = 16
"""Images that are not worth another process."""
PART = 8
"""Images that a process decodes at a time, at least."""
MOST = 64
"""And at most: for so many the time is taken after which reading is stuck."""
WAITING = 4
"""Processes beyond one a core, where reading waits for a disk, and more so for a server's."""
Sizes: TypeAlias = npt.NDArray[np.float32]
_AT = 8
"""Bytes at the beginning of shared memory: which image is being read."""


def room(count: int, size: int) -> Pixels:
    """(count, 3, size, size) pixels to decode into: the three values of a pixel stand together in memory."""
    return np.empty((count, size, size, 3), dtype=np.uint8).transpose(0, 3, 1, 2)


class Decoder:
    """Decodes into memory that is shared with another process.

    Args:
        file: descriptor of the memory.
    """

    def __init__(self, file: int) -> None:
        self._file, self._memory = file, mmap.mmap(file, _AT)

    def decode(self, images: Sequence[StoredImage], size: int) -> tuple[list[tuple[int, int]], dict[int, str]]:
        """Decode ``images`` to ``size``; their stored widths and heights, and by place why one could not be decoded."""
        at, pixels = self.shared(len(images), size)
        sizes, reasons = [(1, 1)] * len(images), {}
        for place, image in enumerate(images):
            at[0] = place
            try:
                sizes[place] = decode_into(image.read(), pixels[place], image.name)
            except OSError as error:
                reasons[place] = str(error)
        return sizes, reasons

    def shared(self, count: int, size: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Pixels]:
        """Which image is being read, and the pixels of ``count`` images, (count, 3, size, size)."""
        needed = _AT + count * 3 * size**2
        if len(self._memory) < needed:
            if os.fstat(self._file).st_size < needed:
                os.ftruncate(self._file, needed)
            self._memory = mmap.mmap(self._file, needed)
        shape = (count, size, size, 3)
        pixels = np.frombuffer(self._memory, np.uint8, count * 3 * size**2, _AT).reshape(shape)
        return np.frombuffer(self._memory, np.int64, 1), pixels.transpose(0, 3, 1, 2)


class _Process:
    """A decoder in a process of its own, and this end of the memory that they share."""

    def __init__(self) -> None:
        # No file system holds it: a container's /dev/shm may be small.
        memory = hasattr(os, "memfd_create")
        self._file = os.fdopen(os.memfd_create("images"), "r+b") if memory else tempfile.TemporaryFile()  # noqa: SIM115
        self._file.truncate(_AT)
        self.here = Decoder(self._file.fileno())
        self.there = Worker(Decoder, self._file.fileno(), files=[self._file.fileno()])

    def decode(self, images: Sequence[StoredImage], size: int) -> tuple[list[tuple[int, int]], dict[int, str]]:
        """See :meth:`Decoder.decode`."""
        self.here.shared(0, 0)[0][0] = 0  # not where the last call ended
        found: tuple[list[tuple[int, int]], dict[int, str]] = self.there.call("decode", images, size)
        return found

    def at(self) -> int:
        """Which image is being read."""
        return int(self.here.shared(0, 0)[0][0])


_idle: list[_Process] = []
"""Of processes that wait for work."""
_places: list[threading.Semaphore] = []
"""One, with as many places as processes may be at work, whoever asks: so there are never more of them."""


def _begin() -> None:
    _idle.clear()
    _places[:] = [threading.Semaphore(cores() + WAITING)]


_begin()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin)


def dismiss() -> None:
    """End the processes that wait for work, where no more is to come soon."""
    _idle.clear()


def decode(images: Sequence[StoredImage], size: int, more: int = WAITING) -> tuple[Pixels, Sizes, dict[int, str]]:
    """Decode images on all cores that this process has.

    Args:
        images: which.
        size: side that they are resized to.
        more: processes beyond one a core; 0 where images are in memory.

    Returns:
        Pixels, (N, 3, size, size); stored widths and heights, (N, 2), 1 where one could not be decoded; and by place
        why.

    Raises:
        AutofrError: reading has not returned for :data:`autofr.system.thread_pool.STUCK` seconds, or ends processes.
    """
    pixels, sizes, reasons = room(len(images), size), np.ones((len(images), 2), dtype=np.float32), dict[int, str]()
    step = min(MOST, max(PART, math.ceil(len(images) / (2 * cores() + more))))
    at: dict[int, _Process] = {}

    def one(place: int) -> None:
        try:
            sizes[place] = decode_into(images[place].read(), pixels[place], images[place].name)
        except OSError as error:
            reasons[place] = str(error)

    def part(first: int, process: _Process) -> None:
        at[first] = process
        wanted = images[first : first + step]
        last = slice(first, first + len(wanted))
        sizes[last], why = process.decode(wanted, size)
        pixels[last] = process.here.shared(len(wanted), size)[1]
        reasons.update((first + place, told) for place, told in why.items())
        _idle.append(process)

    def name(first: int) -> str:
        place = first + at[first].at() if first in at else first
        return images[min(place, len(images) - 1)].name

    def part_or_again(first: int) -> None:
        with _places[0]:
            try:
                part(first, _taken())
            except WorkerDiedError:  # while it was idle, or for want of memory
                try:
                    part(first, _Process())
                except WorkerDiedError as error:
                    raise AutofrError(f"decoding {name(first)}: {error}, twice: is there memory enough?") from error

    # A class of a user's own may not be known to other processes.
    if len(images) < FEW or not all(kind.__module__.startswith("autofr.") for kind in set(map(type, images))):
        in_parallel(one, range(len(images)), lambda place: images[place].name)
    else:
        in_parallel(part_or_again, range(0, len(images), step), name, cores() + more)
    return pixels, sizes, reasons


def _taken() -> _Process:
    try:
        return _idle.pop()
    except IndexError:
        return _Process()
