"""What has a study written to MLflow while it runs: a process of its own for each change, which training does not wait
for. ``python -m autofr.studies.follower STUDY_DIR [KILLED]`` is that process."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from autofr.console import command_name
from autofr.system.subprocesses import environment, module_command

logger = logging.getLogger(__name__)

PAUSE, LONGEST = 20.0, 60.0
"""Seconds between two processes at least, and that the end waits for the last one."""


class Follower:
    """Starts the processes. A store that fails costs a line; what is missing is filled in by ``autofr sync-tracking``.

    Args:
        study_dir: the study's.
        enabled: ``False`` makes every method do nothing.
    """

    def __init__(self, study_dir: Path, enabled: bool) -> None:
        self.study_dir, self.enabled = study_dir, enabled
        self._process: subprocess.Popen[str] | None = None
        self._started, self._said = 0.0, False

    def look(self) -> None:
        """Something may be new: start a process, if none is at work and the last is a while ago. Returns at once."""
        if self.enabled and time.monotonic() - self._started > PAUSE and self._ended():
            self._start()

    def finish(self, stopped: bool) -> None:
        """Write what is left, and wait for it; ``stopped``: the study was told to stop."""
        if not self.enabled:
            return
        give_up = time.monotonic() + LONGEST
        while not self._ended() and time.monotonic() < give_up:
            time.sleep(0.05)
        if self._ended():
            self._start(*(("KILLED",) if stopped else ()))
        process = self._process
        try:
            failed = process is None or process.wait(max(1.0, give_up - time.monotonic())) != 0
        except subprocess.TimeoutExpired:
            failed = True
        if failed and process is not None:
            process.kill()
            logger.warning(
                f"MLflow does not have all of this study; {command_name()} sync-tracking {self.study_dir} fills it in"
            )

    def _ended(self) -> bool:
        """Whether no process is at work; how it went is said, if it did not go well."""
        if self._process is None:
            return True
        status = self._process.poll()
        if status and not self._said:
            self._said = True
            logger.warning("MLflow failed; the study goes on")
        return status is not None

    def _start(self, *status: str) -> None:
        command = module_command("autofr.studies.follower", str(self.study_dir.absolute()), *status)
        alone = environment() | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        self._started = time.monotonic()
        with suppress(OSError):  # no process to be had: the end says what is missing
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                env=alone,
                start_new_session=True,
            )


def main() -> int:
    """Bring MLflow up to the study that the command line names."""
    os.nice(19)  # training goes first
    parent = os.getppid()

    def leave() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)  # the study was killed: whoever goes on with it writes what is missing

    threading.Thread(target=leave, daemon=True).start()
    from autofr.studies.mirror import mirror_study

    mirror_study(Path(sys.argv[1]), stopped=sys.argv[2:] == ["KILLED"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
