"""``log.txt`` of a run directory: every line that the search logs, with its time and level."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path
from typing import TextIO

from autofr.console import TIMED

LOG = "log.txt"


def _appended(path: Path) -> TextIO | None:
    """Open a file to append to; ``None``, if it is no regular one: a run directory may be a stranger's."""
    how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, how, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")


class RunLog(logging.Handler):
    """Write log lines to a run directory, which need not be there yet: lines are held until :meth:`open`.

    A disk that is full or read-only costs lines of the log and nothing else.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter(TIMED, "%Y-%m-%dT%H:%M:%S%z"))
        self._held: list[str] = []
        self._file: TextIO | None = None

    def open(self, run_dir: Path) -> None:
        """Append to ``log.txt`` in ``run_dir`` from now on, first what was held."""
        with contextlib.suppress(OSError):
            self._file = _appended(run_dir / LOG)
        for line in self._held:
            self._write(line)
        self._held.clear()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        line = self.format(record)
        if self._file is None:
            self._held.append(line)
        else:
            self._write(line)

    def _write(self, line: str) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
                self._file.write(f"{line}\n")
                self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        super().close()
