"""What a person sees while autofr works: log lines and progress bars on the terminal.

The library logs to loggers below ``autofr`` and prints nothing. The command line prints what is logged for its whole
run; in Python, :func:`autofr.search`, ``train`` and ``study`` do so while they run, unless ``progress`` is ``False``.

Searches may run in several threads: the lines of one reach the handlers that it attached, and those of the blocks
around it, by a context variable. Handlers and levels that the application has configured stay in force.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LOGGER = logging.getLogger("autofr")
"""The parent of every logger of the library."""
TIMED = "%(asctime)s %(levelname)-7s %(message)s"
"""Format of a log line with its time."""

_blocks: ContextVar[tuple[logging.Handler, ...]] = ContextVar("blocks", default=())
"""The handlers of the blocks that this thread is in, the outermost first; none in a thread that began elsewhere."""
_least: ContextVar[int] = ContextVar("least", default=logging.NOTSET)
"""The lowest level that this thread's lines need to be printed."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Go on in silence when nobody reads any more (``| head``, a terminal that is closed)."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class ConsoleHandler(logging.Handler):
    """Print log lines on standard output, above a progress bar if there is one. What cannot be printed ends nothing.

    Args:
        level: the lowest level that is printed.
        form: the format of a line.
    """

    def __init__(self, level: int = logging.INFO, form: str = "%(message)s") -> None:
        super().__init__(level)
        self.setFormatter(logging.Formatter(form))
        self.console = _Console(highlight=False)

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        if record.levelno < _least.get():
            return
        encoding = getattr(self.console.file, "encoding", None) or "utf-8"
        text = self.format(record).encode(encoding, "backslashreplace").decode(encoding)
        try:
            self.console.print(text, markup=False, soft_wrap=True)
        except OSError:  # a full disk that standard output goes to
            self.console.quiet = True


class _Application:
    """What the application has configured for autofr's loggers, kept in force while handlers of ours are attached.

    To hear of every line the logger needs the lowest level and must not hand lines on by itself. Handlers of the
    application see a line if its logger would have let it pass before.
    """

    def __init__(self) -> None:
        self._lock, self._count = threading.Lock(), 0
        self._level, self._propagate = logging.NOTSET, True
        self._forward = logging.Handler()
        self._forward.emit = self._hand_on  # type: ignore[method-assign]
        self._filtered: list[logging.Handler] = []

    def add(self, handler: logging.Handler) -> None:
        """Attach a handler of ours; the first one makes the logger hear of every line."""
        with self._lock:
            if self._count == 0:
                self._level, self._propagate = LOGGER.level, LOGGER.propagate
                self._filtered = list(LOGGER.handlers)
                for each in self._filtered:
                    each.addFilter(self._passed)
                LOGGER.addHandler(self._forward)
                LOGGER.propagate = False
                LOGGER.setLevel(logging.DEBUG)
            self._count += 1
            LOGGER.addHandler(handler)

    def remove(self, handler: logging.Handler) -> None:
        """Detach a handler of ours; with the last one the logger is as the application configured it."""
        with self._lock:
            LOGGER.removeHandler(handler)
            self._count -= 1
            if self._count == 0:
                for each in self._filtered:
                    each.removeFilter(self._passed)
                LOGGER.removeHandler(self._forward)
                LOGGER.propagate = self._propagate
                LOGGER.setLevel(self._level)

    def _passed(self, record: logging.LogRecord) -> bool:
        """Return whether the line's logger, as the application configured it, lets it pass."""
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None and logger is not LOGGER:
            if logger.level:
                return record.levelno >= logger.level
            logger = logger.parent
        above = LOGGER.parent.getEffectiveLevel() if LOGGER.parent is not None else logging.WARNING
        return record.levelno >= (self._level or above)

    def _hand_on(self, record: logging.LogRecord) -> None:
        """Hand a line on to the handlers above; where there are none and nobody prints, to Python's last one."""
        parent = LOGGER.parent
        if not self._propagate or parent is None or not self._passed(record):
            return
        if parent.hasHandlers():
            parent.callHandlers(record)
        elif self._filtered or _outer() is not None or logging.lastResort is None:
            return
        elif record.levelno >= logging.lastResort.level:
            logging.lastResort.handle(record)


_application = _Application()


@contextmanager
def attached(handler: logging.Handler) -> Iterator[None]:
    """Give ``handler`` every line of autofr's from its level on, for a block: those of the block itself, of the threads
    that autofr starts in it, and of threads that are in no such block."""

    def ours(record: logging.LogRecord) -> bool:
        blocks = _blocks.get()
        return not blocks or handler in blocks

    handler.addFilter(ours)
    entered = _blocks.set((*_blocks.get(), handler))
    _application.add(handler)
    try:
        yield
    finally:
        _application.remove(handler)
        _blocks.reset(entered)
        handler.removeFilter(ours)


@contextmanager
def least(level: int) -> Iterator[None]:
    """Print nothing below ``level``, for a block, whatever an outer block prints."""
    before = _least.set(max(level, _least.get()))
    try:
        yield
    finally:
        _least.reset(before)


@contextmanager
def printed(
    progress: bool, level: int = logging.INFO, form: str = "%(message)s", only: str = "autofr"
) -> Iterator[None]:
    """Print what autofr logs, for a block.

    Args:
        progress: ``False``: warnings alone are printed, and those only where an outer block prints at all.
        level: the lowest level that is printed, and ``form``, the format of a line, where no outer block has them.
        only: the logger whose lines, and whose children's, are printed.
    """
    if not progress:
        with least(logging.WARNING):
            yield
    elif _outer() is not None:
        yield
    else:
        handler = ConsoleHandler(level, form)
        handler.addFilter(logging.Filter(only))
        with attached(handler):
            yield


def _outer() -> ConsoleHandler | None:
    """Return the handler that prints this thread's lines."""
    return next((handler for handler in _blocks.get() if isinstance(handler, ConsoleHandler)), None)


class Display:
    """Progress bars on the terminal. Where the output is no terminal, there are none.

    Args:
        enabled: ``False`` shows none at all; nor are there any where only warnings are printed.
    """

    Advance: TypeAlias = Callable[[int], None]

    def __init__(self, enabled: bool = True) -> None:
        outer = _outer()
        # The console that prints log lines, so that they come above the bar.
        self._console = _Console() if outer is None else outer.console
        lowest = max(_least.get(), logging.NOTSET if outer is None else outer.level)
        self._shown = enabled and lowest <= logging.INFO

    @contextmanager
    def bar(self, name: str, total: int) -> Iterator[Advance]:
        """Show a progress bar for a block, which moves it by calling what it is given with a number of steps."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        shown = self._shown and self._console.is_terminal and not self._console.quiet
        with Progress(*columns, *times, console=self._console, disable=not shown) as progress:
            task = progress.add_task(name, total=total)
            yield lambda steps: progress.advance(task, steps)


def command_name() -> str:
    """Return ``autofr`` as the user called it, virtual environment and all, for commands that are shown."""
    return sys.argv[0] if Path(sys.argv[0]).name == "autofr" else "autofr"
