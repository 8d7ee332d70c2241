"""Rewards that were tried beside those of :data:`autofr.evaluation.rewards.REWARDS`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from autofr.evaluation.figures import Errors
from autofr.evaluation.rewards import REWARDS

Floats = npt.NDArray[np.float64]


def log_fnmr(errors: Errors) -> float:
    """Minus the mean of log FNMR over the FMRs after the first, 0 or more. An FNMR of 0 counts as half a comparison."""
    logs = np.log([max(rate.fnmr, 0.5 / errors.genuine) for rate in errors.rates[1:]])
    return -float(np.trapezoid(logs) / (len(logs) - 1))


def d_prime(errors: Errors) -> float:
    """How far apart the means of genuine and impostor scores are, in deviations."""
    return errors.d_prime


def cllr(errors: Errors) -> float:
    """Minus the cost of the log-likelihood ratio after the best monotone calibration, in bits: in [-1, 0].

    Brümmer and du Preez, "Application-independent evaluation of speaker detection" (Computer Speech and Language,
    2006): what wrong decisions cost, over all operating points. The calibration is isotonic (pool adjacent violators),
    over the bins of the scores.
    """
    counts = errors.histogram[:, errors.histogram.any(0)].double().numpy()
    shares = (counts / np.array([[errors.genuine], [errors.impostors]])).T.tolist()
    blocks: list[list[float]] = []
    for genuine, impostor in shares:  # by rising score; so have to rise the likelihood ratios
        while blocks and blocks[-1][0] * impostor >= genuine * blocks[-1][1]:
            last = blocks.pop()
            genuine, impostor = genuine + last[0], impostor + last[1]
        blocks.append([genuine, impostor])
    genuines, impostors = np.array(blocks).T
    return -(_bits(genuines, impostors) + _bits(impostors, genuines)) / 2


def _bits(shares: Floats, others: Floats) -> float:
    """Σ share·log2(1 + other/share): what one kind's comparisons cost."""
    some = shares > 0
    return float(shares[some] @ np.log2(1 + others[some] / shares[some]))


CANDIDATES: dict[str, Callable[[Errors], float]] = {**REWARDS, "log_fnmr": log_fnmr, "d_prime": d_prime, "cllr": cllr}
