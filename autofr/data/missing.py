"""What may be missing: a little is skipped and said, more is a mistake."""

from __future__ import annotations

from collections.abc import Sequence

from autofr.exceptions import AutofrError

MAX_MISSING = 0.01
"""Share past which a list that names what is not there is refused."""


def tolerated(missing: Sequence[str], total: int, what: str, remedy: str = "") -> list[str]:
    """A note on what is missing, or nothing.

    Args:
        missing: names of what is not there; a name may stand several times.
        total: how many there should be.
        what: ends the sentence ``3 of 100 ...``.
        remedy: for the error.

    Raises:
        AutofrError: over 1 % is missing.
    """
    if not missing:
        return []
    names = list(dict.fromkeys(missing))
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    told = f"{len(missing)} of {total} {what} ({', '.join(names[:10])}{more})"
    if len(missing) > MAX_MISSING * total:
        raise AutofrError(f"{told}: over {MAX_MISSING:.0%}{'; ' if remedy else ''}{remedy}")
    return [f"{told}: skipped"]
