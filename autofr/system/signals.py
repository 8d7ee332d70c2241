"""Being told to stop: Ctrl-C, SIGTERM (a scheduler that wants the machine back), SIGHUP (a terminal that is closed)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(KeyboardInterrupt):
    """The process was told to stop.

    Attributes:
        signal: by which signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """A block in which each of the signals raises :class:`Stopped`, so that what it began can be put in order.

    A signal that is ignored (``nohup``) stays so, and so does a handler of the caller's own. Outside of the main
    thread, where Python has no signals, nothing changes.
    """
    usual = (signal.SIG_DFL, signal.default_int_handler)
    taken = [number for number in _SIGNALS if _main() and signal.getsignal(number) in usual]
    before = {number: signal.signal(number, _stop) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """A block that is not interrupted: a signal that comes meanwhile takes effect after it."""
    came: list[int] = []
    taken = [number for number in _SIGNALS if _main() and callable(signal.getsignal(number))]
    before = {number: signal.signal(number, lambda n, frame: came.append(n)) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _main() -> bool:
    return threading.current_thread() is threading.main_thread()
