"""Feeding a parser what it should refuse."""

from __future__ import annotations

import collections
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from autofr.exceptions import AutofrError
from tests.fuzzing.target import Target

FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "ctypes.dlopen")
"""Audit events that no parser causes."""
_OWN_STRINGS = ("dataclasses", "collections", "typing")
PART = 10_000
"""Inputs of one run of hypothesis, which remembers all of them."""
SLOW = 10.0
"""Seconds; an input that takes longer is a failure."""


@dataclass
class Outcome:
    """What became of the inputs of one parser.

    Attributes:
        inputs, accepted, refused: how many; ``refused`` with a clear error.
        failures: the first of each kind of anything else: its traceback, and the input.
        slowest: seconds of the slowest input.
        mebibytes: by which the most memory that the process ever had grew.
        seconds: in all.
    """

    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    failures: dict[str, tuple[str, Any]] = field(default_factory=dict)
    slowest: float = 0.0
    mebibytes: float = 0.0
    seconds: float = 0.0


def fuzz(target: Target, inputs: int, start: int = 0) -> Outcome:
    """Hand ``target`` broken inputs.

    Args:
        target: the parser.
        inputs: how many.
        start: seed; the same one gives the same inputs.
    """
    outcome = Outcome()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        parse = target.prepare(Path(folder))
        parse(target.whole)  # what is whole is accepted; and what it imports is imported
        clear: tuple[type[Exception], ...] = (AutofrError, *target.errors)
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()

        def one(content: Any) -> None:
            outcome.inputs += 1
            begun = time.perf_counter()
            try:
                with _watched():
                    parse(content)
                outcome.accepted += 1
            except Exception as error:
                if isinstance(error, clear) and str(error) and "\n" not in str(error):
                    outcome.refused += 1
                else:
                    _note(outcome, error, content)
            took = time.perf_counter() - begun
            outcome.slowest = max(outcome.slowest, took)
            if took > SLOW:
                outcome.failures.setdefault("slow", (f"{took:.1f} s", content))

        for part, first in enumerate(range(0, inputs, PART)):
            asked = settings(
                max_examples=min(PART, inputs - first),
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            seed(1000 * start + part)(asked(given(target.broken)(one)))()
        outcome.seconds = time.perf_counter() - started
        outcome.mebibytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return outcome


def _note(outcome: Outcome, error: BaseException, content: Any) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    kind = f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}"
    outcome.failures.setdefault(kind, ("".join(traceback.format_exception(error)), content))


_events: collections.Counter[str] = collections.Counter()
_watching = False


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and (event in FORBIDDEN or (event == "exec" and _is_text(arguments[0]))):
        _events[event] += 1


def _is_text(code: Any) -> bool:
    """Whether code was made of a string, as ``eval`` does it: not of a module's file, nor by Python's own library,
    which makes methods of data classes and types of annotations so."""
    frame = sys._getframe(2) if getattr(code, "co_filename", "").startswith("<string>") else None
    while frame is not None and frame.f_globals.get("__name__") not in ("importlib._bootstrap", *_OWN_STRINGS):
        if frame.f_code is fuzz.__code__:
            return True
        frame = frame.f_back
    return False


@cache
def _hook() -> None:
    """Listen, from the first call on: a hook cannot be taken away again."""
    sys.addaudithook(_hear)


@contextmanager
def _watched() -> Iterator[None]:
    """A block that executes nothing.

    Raises:
        RuntimeError: it did.
    """
    global _watching
    _hook()
    _events.clear()
    _watching = True
    try:
        yield
    finally:
        _watching = False
        if _events:
            raise RuntimeError(f"it caused {', '.join(_events)}")
