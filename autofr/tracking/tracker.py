"""The search's end of its tracking: it starts the process that writes to MLflow, and tells it what happened."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path

from autofr.console import command_name
from autofr.system.subprocesses import environment, module_command
from autofr.tracking.store import tracking_uri

logger = logging.getLogger(__name__)

SHARE = 0.01
"""Of the search's time, how long its end may wait for a store that is slow or down."""
SLOW = 4.0
"""Seconds of one call past which a store is slow."""
SILENT, LONGEST, ABANDONED, KILLED = 30.0, 60.0, 5.0, 5.0
"""Seconds that the end waits for a store that is neither: between two signs of life, in all, and after a Ctrl-C; and
for a process that was killed."""


class Tracker:
    """Has one search written to MLflow, by :mod:`autofr.tracking.follower`.

    Nothing that MLflow does, or does not, stops the search or holds it up. A failure is said once, and tried again
    until the end; what is then still missing is filled in by ``autofr sync-tracking``.

    Args:
        run_dir: the search's directory, with its configuration.
        enabled: ``False`` makes every method do nothing.
    """

    def __init__(self, run_dir: Path, enabled: bool = True) -> None:
        self.run_dir = run_dir
        self.uri = tracking_uri(run_dir.parent)
        self._started = time.monotonic()
        self._failing = False
        self._calling, self._took, self._heard = 0.0, 0.0, self._started
        self._process = self._start() if enabled else None
        if self._process is not None:
            threading.Thread(target=copy_context().run, args=(self._listen, self._process), daemon=True).start()

    def _start(self) -> subprocess.Popen[bytes] | None:
        alone = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        try:
            return subprocess.Popen(
                module_command("autofr.tracking.follower", str(self.run_dir.absolute())),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment() | alone,
                start_new_session=True,  # a Ctrl-C is the search's, which says what it means
            )
        except OSError as error:
            logger.warning(f"MLflow is not written: no process for it ({error}); autofr sync-tracking fills it in")
            return None

    def committed(self) -> None:
        """A generation was committed. Returns at once."""
        self._tell("committed")

    def finish(self) -> None:
        """The search is complete. Returns when MLflow has all of it, or it has taken too long."""
        self._end("FINISHED", LONGEST)

    def abandon(self, status: str) -> None:
        """The search ended as ``KILLED`` or ``FAILED``."""
        self._end(status, ABANDONED)

    def _tell(self, message: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.write(f"{message}\n".encode())
                self._process.stdin.flush()
            except OSError:  # it is gone; the end will say so
                self._failing = True

    def _end(self, status: str, longest: float) -> None:
        if self._process is None:
            return
        self._tell(status)
        ended = time.monotonic()
        share = SHARE * (ended - self._started)
        while self._process.poll() is None:
            now = time.monotonic()
            fine = not self._failing and not self._slow(now) and now - self._heard < SILENT
            if now - ended > (max(longest, share) if fine else share):
                self._process.kill()
                with suppress(subprocess.TimeoutExpired):  # one that hangs in its file system cannot even be killed
                    self._process.wait(KILLED)
                break
            time.sleep(0.02)
        if self._process.returncode != 0:
            logger.warning(
                f"MLflow at {self.uri} does not have all of this search; "
                f"{command_name()} sync-tracking {self.run_dir} fills it in"
            )

    def _slow(self, now: float) -> bool:
        return max(self._took, now - self._calling if self._calling else 0.0) > SLOW

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            kind, _, rest = line.decode(errors="replace").strip().partition(" ")
            self._heard = time.monotonic()
            if kind == "calling":
                self._calling = self._heard
            elif kind == "called":
                self._took, self._calling = self._heard - self._calling, 0.0
            elif kind == "failed" and not self._failing:
                self._failing = True
                logger.warning(f"MLflow at {self.uri} failed ({rest}); the search goes on, its journal is complete")
            elif kind == "logged" and self._failing:
                self._failing = False
                logger.info(f"MLflow at {self.uri} is back, with {rest} generations")
