"""The errors that autofr raises for bad input, one named class a kind that a program may want to tell apart."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class AutofrError(Exception):
    """Raised when something the user handed in cannot be used. The message is one line: what it is, and the remedy.

    The command line prints it and exits with status 2; Python callers catch it like any exception.
    """

    def __init__(self, message: str) -> None:
        super().__init__("; ".join(line.strip() for line in message.splitlines() if line.strip()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes the same error in another process: subclasses take other arguments than a message."""
        return _remade, (type(self), self.args, vars(self))


def _remade(kind: type[AutofrError], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> AutofrError:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    vars(error).update(attributes)
    return error


class UnknownNameError(AutofrError):
    """Raised for a name that nothing is registered under; the nearest names are offered.

    Args:
        kind: what the name should be of, such as ``"loss"``.
        name: the name.
        known: the names that there are.
        hint: one more sentence, after the nearest names.

    Attributes:
        kind, name: as given.
        near: up to three known names that look like it; the first eight of all where none does.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        self.kind, self.name = kind, name
        self.near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:8]
        offered = f"; did you mean {', '.join(self.near)}?" if self.near else ""
        super().__init__(f"unknown {kind} '{name}'{offered}{hint and f'; {hint}'}")


class SettingsDifferError(AutofrError):
    """Raised when a run is resumed with other settings, data or space than it was started with.

    Attributes:
        names: the settings that differ, as ``config.json`` has them: ``recipe.lr``.
    """

    def __init__(self, message: str, names: Iterable[str]) -> None:
        super().__init__(message)
        self.names = tuple(names)


class RunFormatError(AutofrError):
    """Raised for a run, a bank or a report that another version of autofr wrote."""


class DamagedFileError(AutofrError):
    """Raised for a file of a run whose content is not what was written."""


class LockedError(AutofrError):
    """Raised when another process, or another thread of this one, holds a lock."""


class DivergedError(AutofrError):
    """Raised when every member of a population diverged, at half the learning rate too."""


class LostContactError(AutofrError):
    """Raised by a collective operation when another process of the job is gone."""


class AgreedError(AutofrError):
    """An error that every rank of a mesh knows of: the lead prints it. Where it arose, its cause is that error."""


class RankError(AutofrError):
    """An error of one rank of a mesh, which prints it itself. Its cause is the error that the rank met."""
