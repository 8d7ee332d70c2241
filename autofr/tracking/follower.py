"""The process that writes a search to MLflow while it runs: ``python -m autofr.tracking.follower RUN_DIR``.

Training shares nothing with it, so a store that is slow, locked or down holds up this process alone. It reads the run
directory, is told on its standard input that something was committed (``committed``) or how the search ended
(``FINISHED``, ``FAILED``, ``KILLED``; the end of the input: it was killed), and says on its standard output what it
does: ``calling`` and ``called`` around each call of MLflow, ``logged N``, ``failed REASON``.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from autofr.system.lock import locked
from autofr.tracking.store import check_reachable, tracking_uri

if TYPE_CHECKING:
    from autofr.tracking.mirror import Mirror

ENDS = ("FINISHED", "FAILED", "KILLED")
LONGEST_PAUSE, POLL = 60.0, 1.0
"""Seconds between two attempts, at most, and between two looks at whether the search is still there."""
_PARENT = os.getppid()


def follow(run_dir: Path, told: TextIO, say: TextIO) -> int:
    """Keep MLflow up to ``run_dir`` until the search ends. Returns the exit status: 0 if MLflow has all of it."""

    def hear(sign: str) -> None:
        with contextlib.suppress(OSError):  # a search that was killed hears nothing
            print(sign, file=say, flush=True)

    messages: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(told, messages), daemon=True).start()
    # A process that followed the search before it was resumed may still be writing.
    with locked(run_dir / "tracking.lock", "another process writes this search to MLflow", patience=3600):
        mirror, pause, status = None, 0.0, ""
        while True:
            try:
                mirror = mirror or _mirror(run_dir, hear)
                hear(f"logged {mirror.sync()}")
                pause = 0.0
                if status:
                    mirror.end(status)
                    return 0
            except Exception as error:
                hear(f"failed {reason(error)}")
                pause = min(LONGEST_PAUSE, max(1.0, 2 * pause))
                if status:
                    return 1
                mirror = None  # what it remembers of MLflow may be wrong
            status = _next(messages, pause)


def _mirror(run_dir: Path, hear: Callable[[str], None]) -> Mirror:
    """What writes to the store, if that may be there: to import it costs seconds that training may miss."""
    check_reachable(tracking_uri(run_dir.parent))
    from autofr.tracking.mirror import Mirror

    return Mirror(run_dir, hear)


def _next(messages: queue.Queue[str], pause: float) -> str:
    """Wait for a message, or ``pause`` seconds to try again what failed. Returns how the search ended, if it did."""
    status, waited = "", 0.0
    try:
        while not status:
            try:
                status = messages.get(timeout=POLL)
            except queue.Empty:
                waited += POLL
                if os.getppid() != _PARENT:  # a child of its, forked, may keep the input open
                    return "KILLED"
                if pause and waited >= pause:
                    raise
        while status not in ENDS:  # several commits that came meanwhile are one
            status = messages.get_nowait()
    except queue.Empty:
        pass
    return status if status in ENDS else ""


def _listen(told: TextIO, messages: queue.Queue[str]) -> None:
    for line in told:
        messages.put(line.strip())
    messages.put("KILLED")


def reason(error: Exception) -> str:
    """An exception of MLflow's, in a line."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def yield_to_training() -> None:
    """Give this process the lowest priority: threads that wait for each other suffer from any other load."""
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):  # not everybody is allowed to go further down
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main() -> int:
    """Follow the run directory named on the command line."""
    yield_to_training()
    say = os.fdopen(os.dup(1), "w")  # MLflow's own words do not belong there
    os.dup2(2, 1)
    return follow(Path(sys.argv[1]), sys.stdin, say)


if __name__ == "__main__":
    sys.exit(main())
