"""One process at a time in a directory."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autofr.exceptions import LockedError

_held: set[Path] = set()
_guard = threading.Lock()


@contextmanager
def locked(file: Path, message: str, patience: float = 0) -> Iterator[None]:
    """Hold the lock on ``file`` for a block. The system holds it for the process, and frees it however that ends: a
    file that a crash left behind is in nobody's way.

    It is a POSIX record lock: children that a process forks (workers of a source, say) do not have it, and so cannot
    keep it when the process is killed, as they would keep one of ``flock``, which the library ``filelock`` uses.

    Args:
        file: made if it is not there, and left there.
        message: of the error where another process, or another thread of this one, holds it.
        patience: seconds to wait for it.

    Raises:
        LockedError: another process, or another thread of this one, holds it.
    """
    path, give_up = file.absolute(), time.monotonic() + patience
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        while not _taken(path, descriptor):
            if time.monotonic() >= give_up:
                raise LockedError(message)
            time.sleep(0.1)
        try:
            yield
        finally:
            with _guard:
                _held.discard(path)
    finally:
        os.close(descriptor)  # the system frees the lock


def is_locked(file: Path) -> bool:
    """Return whether another process, or another thread of this one, holds the lock on ``file``."""
    try:
        with locked(file, f"{file} is locked"):
            return False
    except LockedError:
        return True


def _taken(path: Path, descriptor: int) -> bool:
    with _guard:
        if path in _held:  # the system would give a process its own lock again, and free it with the first descriptor
            return False
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        _held.add(path)
        return True
