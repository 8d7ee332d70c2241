"""What a set of options that was drawn without replacement says about an expectation over all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from autofr.policies.base import Floats

# ∫₀^∞ e^-t f(t) dt by the trapezoidal rule in y = log t: the integrand falls off at least exponentially at both ends,
# so the rule's error does too (double exponential quadrature).
_Y = np.linspace(-36, 5, 1025)
_WEIGHT = np.exp(_Y - np.exp(_Y)) * (_Y[1] - _Y[0])


def set_probability(p: Floats, options: Sequence[int] | npt.NDArray[np.int64]) -> float:
    """Probability that as many draws without replacement as there are ``options`` give exactly these, in any order.

    Kool et al., "Estimating gradients for discrete random variables by sampling without replacement" (ICLR 2020):
    ∫₀¹ Π_s (1 - v^(p_s/q)) dv, with q the probability of the options that were not drawn.

    Args:
        p: probabilities of all options, summing to 1.
        options: distinct indices into it.
    """
    return _probability(p[np.asarray(options, dtype=np.int64)], _rest(p, options))


def set_weights(p: Floats, options: Sequence[int] | npt.NDArray[np.int64]) -> Floats:
    """Weights w such that Σ w_s f(s) over the drawn ``options`` estimates Σ p_k f(k) over all, without bias.

    w_s = p_s·P(the others would be drawn, s put aside)/P(these are drawn): the unordered-set estimator of the same
    paper. If every option was drawn, w = p and the sum is exact.
    """
    drawn, rest = p[np.asarray(options, dtype=np.int64)], _rest(p, options)
    whole = _probability(drawn, rest)
    return np.array([drawn[s] * _probability(np.delete(drawn, s), rest) / whole for s in range(len(drawn))])


def _rest(p: Floats, options: Sequence[int] | npt.NDArray[np.int64]) -> float:
    return float(np.delete(p, np.asarray(options, dtype=np.int64)).sum())


def _probability(drawn: Floats, rest: float) -> float:
    if rest <= 0 or not len(drawn):
        return 1.0
    return float(_WEIGHT @ np.prod(-np.expm1(-np.outer(drawn / rest, np.exp(_Y))), axis=0))
