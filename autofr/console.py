"""What a person sees while a search runs: a bar, and a line a generation."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    pass


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Nobody reads any more (``| head``, a terminal that is gone): work goes on, in silence."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Display:
    """Progress on the terminal. Where the output is no terminal, lines alone.

    Args:
        enabled: ``False`` says nothing at all.
    """

    Advance: TypeAlias = Callable[[int], None]

    def __init__(self, enabled: bool = True) -> None:
        self.console = _Console(quiet=not enabled, highlight=False)

    @contextmanager
    def bar(self, name: str, total: int) -> Iterator[Advance]:
        """A progress bar for a block; it is moved by calling what the block is given with a number of steps."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        shown = self.console.is_terminal and not self.console.quiet
        with Progress(*columns, *times, console=self.console, disable=not shown) as progress:
            task = progress.add_task(name, total=total)
            yield lambda steps: progress.advance(task, steps)

    def say(self, line: str) -> None:
        """One line, above the bar if there is one."""
        self.console.print(line, markup=False, soft_wrap=True)


def command_name() -> str:
    """``autofr`` as the user called it, virtual environment and all, for commands that are shown."""
    return sys.argv[0] if Path(sys.argv[0]).name == "autofr" else "autofr"
