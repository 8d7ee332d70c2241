"""What a member's comparisons are worth as one number: what a search maximises.

A reward has to tell apart networks that differ little, from few comparisons. Others than these (d', the cost of the
log-likelihood ratio, the mean of log FNMR) showed less, or no more: docs/does-it-work.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from autofr.evaluation.errors import impostors_allowed
from autofr.evaluation.figures import Errors

POINTS = 9


def fmrs_around(fmr: float, impostors: int) -> list[float]:
    """Nine false match rates, evenly spaced in their logarithm, from a tenth of ``fmr`` (or the lowest that the
    impostors can show) to ten times it (0.5 at most)."""
    low = max(fmr / 10, 1 / impostors)
    low = low if impostors_allowed(low, impostors) else math.nextafter(low, 1)
    return [float(rate) for rate in np.geomspace(low, max(min(fmr * 10, 0.5), low), POINTS)]


def fnmr(errors: Errors) -> float:
    """Minus the FNMR at the first of the FMRs measured: in [-1, 0]."""
    return -errors.rates[0].fnmr


def det_area(errors: Errors) -> float:
    """Minus the area under the DET curve, with FMR on a logarithmic axis, as a mean of FNMR: in [-1, 0].

    By the trapezoidal rule, over the FMRs measured after the first one (:func:`fmrs_around`).
    """
    return -float(np.trapezoid([rate.fnmr for rate in errors.rates[1:]]) / (len(errors.rates) - 2))


REWARDS: dict[str, Callable[[Errors], float]] = {"fnmr": fnmr, "det_area": det_area}
"""Rewards by name. Higher is better; NaN: the scores cannot show it."""
