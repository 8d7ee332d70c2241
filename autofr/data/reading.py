"""Reading images from a disk that may fail: in parallel, with retries, and never for ever.

The threads are daemons: one that hangs in a file system that is gone holds up nobody, not even the end of the process.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from autofr.exceptions import AutofrError
from autofr.images import Pixels
from autofr.masks import landmark_scheme

PATIENCE = 300.0
"""Seconds that a folder may be away (unmounted, a server that restarts) before reading gives up."""
BRIEFLY = 3.0
"""Seconds over which a single image is tried again: it may be being replaced."""
STUCK = 120.0
"""Seconds after which a read that does not return is taken for one that never will."""

T = TypeVar("T")


class Scan(Protocol):
    """Images of faces that were found but not yet read.

    Attributes:
        source: where: a folder or a file.
        names: ``IDENTITY/IMAGE`` of each.
        landmarks: a file for :func:`autofr.masks.read_landmarks`; ``None``: there is none.
        scheme: what its points are; ``None``: the file or their number says it.
    """

    @property
    def source(self) -> Path: ...
    @property
    def names(self) -> list[str]: ...
    @property
    def landmarks(self) -> Path | None: ...
    @property
    def scheme(self) -> str | None: ...

    def decode(self, place: int, size: int) -> tuple[Pixels, tuple[int, int]]:
        """The image at ``place`` as (3, size, size) RGB, and its stored width and height.

        Raises:
            OSError: it cannot be read; the message names it.
        """

    def raw(self, place: int) -> bytes:
        """The bytes of the image at ``place``, as they are stored.

        Raises:
            OSError: they cannot be read; the message names it.
        """

    def where(self, place: int) -> str:
        """What the image at ``place`` is called in an error."""

    def there(self) -> bool:
        """Whether the source can be reached at all."""


class UnreadableImagesError(AutofrError):
    """Some of the images asked for cannot be read.

    Attributes:
        places: which, by their place in what was asked for.
    """

    def __init__(self, message: str, places: Sequence[int]) -> None:
        super().__init__(message)
        self.places = list(places)


def in_background(work: Callable[[], T]) -> Future[T]:
    """Do ``work`` on a thread of its own."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def in_parallel(work: Callable[[int], None], places: Iterable[int], name: Callable[[int], str]) -> None:
    """Call ``work`` with each of ``places``, on as many threads as pay.

    Args:
        work: what to do; it is called from several threads.
        places: for what.
        name: what a place is called in an error.

    Raises:
        AutofrError: a call has not returned for ``STUCK`` seconds.
        Exception: whatever ``work`` raised first.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    count = 0
    for place in places:
        waiting.put(place)
        count += 1
    threads = min(32, (os.cpu_count() or 1) + 4, count)
    busy: dict[int, tuple[int, float]] = {}  # by thread: what it is at, and since when
    failures: list[BaseException] = []
    ended = threading.Semaphore(0)

    def run(thread: int) -> None:
        try:
            while not failures:
                busy[thread] = waiting.get_nowait(), time.monotonic()
                work(busy[thread][0])
        except queue.Empty:
            pass
        except BaseException as error:
            failures.append(error)
        finally:
            busy.pop(thread, None)
            ended.release()

    for thread in range(threads):
        threading.Thread(target=run, args=(thread,), daemon=True).start()
    late: set[tuple[int, float]] = set()
    for _ in range(threads):
        while not ended.acquire(timeout=min(1.0, STUCK / 2)):
            now = time.monotonic()
            before, late = late, {at for at in list(busy.values()) if now - at[1] > STUCK}
            if before & late:  # twice: this process may have been stopped itself
                first = min(name(place) for place, _ in before & late)
                raise AutofrError(f"reading {first} has not returned for {STUCK:.0f} s: is its file system stuck?")
    if failures:
        raise failures[0]


def find_landmarks(source: Path, landmarks: str | Path | None, scheme: str | None) -> Path | None:
    """The landmarks file of a source: the one named, or ``SOURCE_landmarks.npz`` beside it, if there is one.

    Raises:
        AutofrError: no such file, or no such scheme.
    """
    if scheme is not None:
        landmark_scheme(scheme)
    beside = source.with_name(f"{source.stem if source.is_file() else source.name}_landmarks.npz")
    found = Path(landmarks) if landmarks is not None else beside if beside.is_file() else None
    if found is not None and not found.is_file():
        raise AutofrError(f"no landmarks file {found}; name one that exists, or turn masks off with --mask-prob 0")
    return found


def disk_reader(scan: Scan, kept: Tensor, image_size: int) -> Callable[[Tensor], Tensor]:
    """What :attr:`autofr.data.Faces.read` is for images on a disk: they are decoded whenever they are asked for.

    What cannot be read is tried again for ``BRIEFLY`` seconds, or ``PATIENCE`` where the source is away: empty, gone,
    or most of the images with it. Then it is an :class:`UnreadableImagesError`, or an :class:`AutofrError`.

    Args:
        scan: the images.
        kept: (N,) int64, which of them are asked for by which index.
        image_size: side that they are resized to, pixels.
    """

    def read(wanted: Tensor) -> Tensor:
        numbers = kept[wanted].tolist()
        # In the order of decoded images: to copy one is then to copy a block.
        pixels = np.empty((len(numbers), image_size, image_size, 3), dtype=np.uint8).transpose(0, 3, 1, 2)
        reasons: dict[int, str] = {}

        def one(place: int) -> None:
            try:
                pixels[place], _ = scan.decode(numbers[place], image_size)
                reasons.pop(place, None)
            except OSError as error:
                reasons[place] = str(error)

        def name(place: int) -> str:
            return scan.where(numbers[place])

        in_parallel(one, range(len(numbers)), name)
        started, pause = time.monotonic(), 0.25
        while reasons:
            waited = time.monotonic() - started
            away = 2 * len(reasons) > len(numbers) > 1 or not scan.there()
            first = reasons[min(reasons)]
            if away and waited >= PATIENCE:
                raise AutofrError(
                    f"{len(reasons)} of {len(numbers)} images cannot be read ({first}), for {waited:.0f} s: is "
                    f"{scan.source} away? Bring it back"
                )
            if not away and waited >= BRIEFLY:
                raise UnreadableImagesError(
                    f"{len(reasons)} images that were readable at the start no longer are: {first}", sorted(reasons)
                )
            time.sleep(pause)
            pause = min(2 * pause, 10.0)
            in_parallel(one, sorted(reasons), name)
        return torch.from_numpy(pixels)

    return read
