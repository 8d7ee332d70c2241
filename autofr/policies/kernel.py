"""Which options of a dimension are alike: what is learned of a margin says something of its neighbours."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from autofr.policies.base import Floats
from autofr.space.dimensions import Dimension, Range


def likeness(dimension: Dimension, reach: float) -> Floats:
    """Correlations between what the options are worth before anything is known, (K, K).

    Options that are told apart by one number (``ArcFace(m=0.1)`` and ``ArcFace(m=0.3)``, widths of a network, the bins
    of a range) lie on a line: their correlation is exp(-d²/2), d their distance as a share of ``reach`` times the
    line's length. Others have none.

    Args:
        dimension: whose options.
        reach: 0 or more; 0: no option says anything of another.
    """
    found = np.eye(len(dimension))
    for line in lines(dimension):
        members, at = list(line), np.array([*line.values()])
        if reach > 0:
            distance = (at[:, None] - at) / (reach * np.ptp(at))
            found[np.ix_(members, members)] = np.exp(-0.5 * distance**2)
    return found


def lines(dimension: Dimension) -> list[dict[int, float]]:
    """The lines that options lie on: each option's number by its place in the dimension. What is alone has no line."""
    if isinstance(dimension, Range):
        line = {k: dimension.at((k + 0.5) / len(dimension)) for k in range(len(dimension))}
        return [line] if len(line) > 1 else []
    kinds: dict[Hashable, dict[int, tuple[str, ...]]] = {}
    for k, option in enumerate(dimension.options):
        settings = _settings(option)
        kinds.setdefault((type(option) in (int, float) or type(option), _names(settings)), {})[k] = settings
    found = []
    for options in kinds.values():
        columns = [*zip(*options.values(), strict=True)]
        different = [column for column in columns if len(set(column)) > 1]
        numbers = [_number(text) for text in different[0]] if len(different) == 1 else []
        known = [number for number in numbers if number is not None]
        if known and len(known) == len(numbers) == len(set(known)):
            found.append(dict(zip(options, known, strict=True)))
    return found


def _settings(option: Any) -> tuple[str, ...]:
    told = getattr(option, "settings", None)
    return tuple(told()) if callable(told) else (str(option),)


def _names(settings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text.rpartition("=")[0] for text in settings)


def _number(text: str) -> float | None:
    try:
        number = float(text.rpartition("=")[2])
    except ValueError:
        return None
    return number if np.isfinite(number) else None
