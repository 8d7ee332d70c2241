"""One process at a time in a directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from autofr.exceptions import AutofrError


@contextmanager
def locked(file: Path, told: str, patience: float = 0) -> Iterator[None]:
    """Hold the lock on ``file`` for a block. The system holds it for the process, and frees it however that ends: a
    file that a crash left behind is in nobody's way.

    Args:
        file: made if it is not there, and left there.
        told: what to say where another process has it.
        patience: seconds to wait for it.

    Raises:
        AutofrError: another process has it.
    """
    lock = FileLock(file)
    try:
        lock.acquire(timeout=patience, poll_interval=0.1)
    except Timeout:
        raise AutofrError(told) from None
    try:
        yield
    finally:
        lock.release()
