"""Which options of a dimension are alike: what is learned of a margin says something of its neighbours."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import Any

import numpy as np

from autofr.policies.base import Floats
from autofr.registry import settings_of
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
    kinds: dict[Hashable, dict[int, dict[str, Any]]] = {}
    for k, option in enumerate(dimension.options):
        settings = _settings(option)
        kinds.setdefault((type(option) in (int, float) or type(option), tuple(settings)), {})[k] = settings
    found = []
    for options in kinds.values():
        columns = [*zip(*(settings.values() for settings in options.values()), strict=True)]
        different = [column for column in columns if any(value != column[0] for value in column)]
        numbers = [float(value) for value in different[0] if _is_number(value)] if len(different) == 1 else []
        if numbers and len(options) == len(numbers) == len(set(numbers)):
            found.append(dict(zip(options, numbers, strict=True)))
    return found


def _settings(option: Any) -> dict[str, Any]:
    """Return the settings of an option by name; one without settings is one itself."""
    return settings_of(option) if callable(getattr(option, "settings", None)) else {"": option}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
