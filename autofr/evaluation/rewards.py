"""What a member's comparisons are worth as one number: what a search maximises.

A reward has to tell apart networks that differ little, from few comparisons. FNMR at one FMR hangs on one threshold,
and so on the few impostors that set it; the others hear all of a range, or all comparisons.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autofr.evaluation.figures import Errors

DECADES = tuple(float(fmr) for fmr in np.logspace(-3, -1, 9))
"""The FMRs of :func:`det_area` and :func:`log_fnmr`."""


def det_area(errors: Errors) -> float:
    """Minus the area under the DET curve in log FMR, from FMR 1e-3 to 1e-1, as a mean of FNMR: in [-1, 0]."""
    return -float(np.trapezoid(_fnmrs(errors)) / (len(DECADES) - 1))


def log_fnmr(errors: Errors) -> float:
    """Minus the mean of log FNMR over the same range. An FNMR of 0 counts as half a comparison."""
    logs = np.log(np.maximum(_fnmrs(errors), 0.5 / errors.genuine))
    return -float(np.trapezoid(logs) / (len(DECADES) - 1))


def d_prime(errors: Errors) -> float:
    """How far apart the means of genuine and impostor scores are, in deviations."""
    return errors.d_prime


def cllr(errors: Errors) -> float:
    """Minus the cost of the log-likelihood ratio, after the best monotone calibration: in [-1, 0].

    Brümmer and du Preez, "Application-independent evaluation of speaker detection" (Computer Speech and Language,
    2006): the mean over all operating points of what wrong decisions cost, in bits. The calibration is isotonic (pool
    adjacent violators), over the bins of the scores.
    """
    genuine, impostor = errors.histogram.double().numpy() / np.array([[errors.genuine], [errors.impostors]])
    blocks: list[tuple[float, float]] = []
    for block in zip(genuine.tolist(), impostor.tolist(), strict=True):
        if block == (0, 0):
            continue
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:  # likelihood ratios have to rise
            block = blocks[-1][0] + block[0], blocks[-1][1] + block[1]
            blocks.pop()
        blocks.append(block)
    g, i = np.array(blocks).T
    return -float(_bits(g, i).sum() + _bits(i, g).sum()) / 2


def _bits(share: np.ndarray[tuple[int], np.dtype[np.float64]], other: np.ndarray[tuple[int], np.dtype[np.float64]]):  # type: ignore[no-untyped-def]
    some = share > 0
    return share[some] * np.log2(1 + other[some] / share[some])


def _fnmrs(errors: Errors) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([errors.fnmr[fmr] for fmr in DECADES])


REWARDS: dict[str, Callable[[Errors], float]] = {
    "det_area": det_area,
    "log_fnmr": log_fnmr,
    "d_prime": d_prime,
    "cllr": cllr,
}
