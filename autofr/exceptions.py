"""The one error that autofr raises for bad input, and the hint that goes with an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AutofrError(Exception):
    """Something the user handed in cannot be used. The message is one line: what it is, and the remedy.

    The command line prints it and exits with status 2; Python callers catch it like any exception.
    """

    def __init__(self, message: str) -> None:
        super().__init__("; ".join(line.strip() for line in message.splitlines() if line.strip()))


def unknown(kind: str, name: str, known: Iterable[str]) -> AutofrError:
    """The error for a ``name`` that is not in ``known``, offering the nearest names that are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:8]
    return AutofrError(f"unknown {kind} '{name}'; did you mean {', '.join(near)}?")


class AgreedError(AutofrError):
    """An error that every rank of a mesh knows of: one of them has to tell it."""


class RankError(AutofrError):
    """An error of one rank of a mesh, which it has to tell itself."""
