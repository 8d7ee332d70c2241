"""The search's end of its tracking: it starts the process that writes to MLflow, and tells it what happened."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from autofr.progress import command_name
from autofr.tracking.store import tracking_uri

SHARE = 0.05
"""Of the search's time, how long its end may wait for a store that is behind or down."""
HEALTHY = 30.0
"""Seconds that the end may always wait for a store that has kept up: the winner and the pictures come last."""


class Tracker:
    """Has one search written to MLflow, by :mod:`autofr.tracking.follower`.

    Nothing that MLflow does, or does not, stops the search or holds it up. A failure is said once, and tried again
    until the end; what is then still missing is filled in by ``autofr sync-tracking``.

    Args:
        run_dir: the search's directory, with its configuration.
        say: takes a line for the user; called from another thread.
        enabled: ``False`` makes every method do nothing.
    """

    def __init__(self, run_dir: Path, say: Callable[[str], None], enabled: bool = True) -> None:
        self.run_dir, self.say = run_dir, say
        self.uri = tracking_uri(run_dir.parent)
        self._started = time.monotonic()
        self._unanswered, self._failing = 1, False  # at first it looks what is there to log
        self._process = self._start() if enabled else None
        if self._process is not None:
            threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def _start(self) -> subprocess.Popen[bytes]:
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        alone = {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "autofr.tracking.follower", str(self.run_dir.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | alone,
            start_new_session=True,  # a Ctrl-C is the search's, which says what it means
        )

    def committed(self) -> None:
        """A generation was committed. Returns at once."""
        self._unanswered += 1
        self._tell("committed")

    def finish(self) -> None:
        """The search is complete. Returns when MLflow has all of it, or it has taken too long."""
        self._end("FINISHED", HEALTHY)

    def abandon(self, status: str) -> None:
        """The search ended as ``KILLED`` or ``FAILED``."""
        self._end(status, HEALTHY / 6)

    def _tell(self, message: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.write(f"{message}\n".encode())
                self._process.stdin.flush()
            except OSError:  # it is gone; the end will say so
                self._failing = True

    def _end(self, status: str, patience: float) -> None:
        if self._process is None:
            return
        self._tell(status)
        kept_up = not self._failing and self._unanswered <= 2
        share = SHARE * (time.monotonic() - self._started)
        try:
            done = self._process.wait(max(patience if kept_up else 1.0, share)) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            done = False
        if not done:
            self.say(
                f"MLflow at {self.uri} does not have all of this search; "
                f"{command_name()} sync-tracking {self.run_dir} fills it in"
            )

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            kind, _, rest = line.decode(errors="replace").strip().partition(" ")
            if kind == "failed" and not self._failing:
                self.say(f"MLflow at {self.uri} failed ({rest}); the search goes on, its journal is complete")
            elif kind == "logged" and self._failing:
                self.say(f"MLflow at {self.uri} is back, with {rest} generations")
            self._failing = kind == "failed"
            self._unanswered = self._unanswered if self._failing else 0
