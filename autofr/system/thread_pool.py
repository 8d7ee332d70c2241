"""Work on other threads, for what waits: for a disk, or for another process.

The threads are daemons: one that hangs in a file system that is gone holds up nobody, not even the end of the process.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from autofr.exceptions import AutofrError
from autofr.system.torchrun import cores

STUCK = 120.0
"""Seconds after which a call that does not return is taken for one that never will."""

T = TypeVar("T")

_idle: list[queue.SimpleQueue[Callable[[], None]]] = []
"""Of threads that wait for work: starting one takes as long as decoding some images, and its caches are cold."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)


def _on_a_thread(work: Callable[[], None]) -> None:
    """Do ``work``, which raises nothing, on a thread that is idle, or a new one."""
    try:
        waiting = _idle.pop()
    except IndexError:
        waiting = queue.SimpleQueue()

        def run() -> None:
            while True:
                waiting.get()()
                _idle.append(waiting)

        threading.Thread(target=run, daemon=True).start()
    waiting.put(partial(copy_context().run, work))  # whose log lines are the caller's


def in_background(work: Callable[[], T]) -> Future[T]:
    """Do ``work`` on another thread."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    _on_a_thread(run)
    return future


def in_parallel(
    work: Callable[[int], None], places: Iterable[int], name: Callable[[int], str], threads: int | None = None
) -> None:
    """Call ``work`` with each of ``places``, on several threads.

    Args:
        work: what to do; it is called from several threads.
        places: for what.
        name: what a place is called in an error.
        threads: how many; ``None``: as many as pay where they wait for a disk.

    Raises:
        AutofrError: a call has not returned for ``STUCK`` seconds.
        Exception: whatever ``work`` raised first.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    count = 0
    for place in places:
        waiting.put(place)
        count += 1
    threads = min(threads or min(32, cores() + 4), count)
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
        _on_a_thread(partial(run, thread))
    late: set[tuple[int, float]] = set()
    try:
        for _ in range(threads):
            while not ended.acquire(timeout=min(1.0, STUCK / 2)):
                now = time.monotonic()
                before, late = late, {at for at in list(busy.values()) if now - at[1] > STUCK}
                if before & late and not failures:  # twice: this process may have been stopped itself
                    first = min(name(place) for place, _ in before & late)
                    raise AutofrError(f"reading {first} has not returned for {STUCK:.0f} s: is its file system stuck?")
                if before & late:
                    raise failures[0]
    except BaseException as error:  # a Ctrl-C, say: the other threads have no more to do
        failures.append(error)
        raise
    if failures:
        raise failures[0]
