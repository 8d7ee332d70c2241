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

from autofr.spaces import SearchSpace

if TYPE_CHECKING:
    from autofr.search.record import Record


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

    def generation(self, record: Record, space: SearchSpace) -> None:
        """One line on a committed generation: its winner's choices and scores, and where α stands; before it, one on
        each member that diverged or failed."""
        for member, trouble in enumerate(record.troubles):
            if trouble is not None:
                self.say(f"member {member + 1} ({', '.join(said(record.drawn[member]))}) {trouble}")
        score, won = record.achieved, said(space.describe(record.assignments[record.winner]))
        top = {n: max(range(len(p)), key=p.__getitem__) for n, p in record.alpha.items()}
        flat = all(max(p) - min(p) < 1e-9 for p in record.alpha.values())
        lead = said({n: space.dimensions[n].names[i] for n, i in top.items()})
        named = ", ".join(f"{told} {record.alpha[n][i]:.2f}" for (n, i), told in zip(top.items(), lead, strict=True))
        leaders = "α still equal" if flat else f"highest α {named}"
        searched = any(len(p) > 1 for p in record.alpha.values())  # a training has one option
        choice = f"  winner {', '.join(won)}  {leaders}" if searched else ""
        mfr = "" if score["mfr"] is None else f"  MFR {score['mfr']:.3f}"
        self.say(
            f"generation {record.generation + 1:3d}  epoch {record.epoch:5.2f}  SFR {score['sfr']:.3f}{mfr}{choice}"
        )


def said(drawn: dict[str, str]) -> list[str]:
    """What was drawn, by name: losses and backbones say what they are, an elastic backbone's 0.5 does not."""
    return [name if dim in ("loss", "backbone") else f"{dim} {name}" for dim, name in drawn.items()]


def command_name() -> str:
    """``autofr`` as the user called it, virtual environment and all, for commands that are shown."""
    return sys.argv[0] if Path(sys.argv[0]).name == "autofr" else "autofr"
