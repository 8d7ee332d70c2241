"""What a person sees while autofr works: log lines and progress bars on the terminal.

The library logs to loggers below ``autofr``; it prints nothing. The command line prints what is logged for its whole
run; in Python, functions with an argument ``progress`` do so while they run.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LOGGER = logging.getLogger("autofr")
"""The parent of every logger of the library."""
TIMED = "%(asctime)s %(levelname)-7s %(message)s"
"""Format of a log line with its time."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Go on in silence when nobody reads any more (``| head``, a terminal that is closed)."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class ConsoleHandler(logging.Handler):
    """Print log lines on standard output, above a progress bar if there is one.

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
        self.console.print(self.format(record), markup=False, soft_wrap=True)


class _Forward(logging.Handler):
    """Hand lines on to the handlers above ``autofr``, as far as the application wanted to see them."""

    def emit(self, record: logging.LogRecord) -> None:
        parent = LOGGER.parent
        if parent is not None and parent.hasHandlers():
            parent.callHandlers(record)


@contextmanager
def attached(handler: logging.Handler) -> Iterator[None]:
    """Give ``handler`` every line of autofr's from its level on, for a block.

    Handlers that the application has configured see what they saw before, and no more.
    """
    before = LOGGER.level, LOGGER.propagate
    forward = _Forward(LOGGER.getEffectiveLevel())
    added = [handler, forward] if LOGGER.propagate else [handler]
    for each in added:
        LOGGER.addHandler(each)
    LOGGER.setLevel(min(handler.level, LOGGER.getEffectiveLevel()))
    LOGGER.propagate = False
    try:
        yield
    finally:
        for each in added:
            LOGGER.removeHandler(each)
        LOGGER.setLevel(before[0])
        LOGGER.propagate = before[1]


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
    outer = _outer()
    if outer is not None:
        before = outer.level
        outer.setLevel(before if progress else max(before, logging.WARNING))
        try:
            yield
        finally:
            outer.setLevel(before)
    elif progress:
        handler = ConsoleHandler(level, form)
        handler.addFilter(logging.Filter(only))
        with attached(handler):
            yield
    else:
        yield


def _outer() -> ConsoleHandler | None:
    return next((handler for handler in LOGGER.handlers if isinstance(handler, ConsoleHandler)), None)


class Display:
    """Progress bars on the terminal. Where the output is no terminal, there are none.

    Args:
        enabled: ``False`` shows none at all; nor are there any where only warnings are printed.
    """

    Advance: TypeAlias = Callable[[int], None]

    def __init__(self, enabled: bool = True) -> None:
        outer = _outer()
        self._console = _Console(quiet=not enabled or (outer is not None and outer.level > logging.INFO))

    @contextmanager
    def bar(self, name: str, total: int) -> Iterator[Advance]:
        """Show a progress bar for a block, which moves it by calling what it is given with a number of steps."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        shown = self._console.is_terminal and not self._console.quiet
        with Progress(*columns, *times, console=self._console, disable=not shown) as progress:
            task = progress.add_task(name, total=total)
            yield lambda steps: progress.advance(task, steps)


def command_name() -> str:
    """Return ``autofr`` as the user called it, virtual environment and all, for commands that are shown."""
    return sys.argv[0] if Path(sys.argv[0]).name == "autofr" else "autofr"
