"""Confidence intervals by identity bootstrap.

Scores that share a person are not independent, so people are drawn, with replacement, not scores: a genuine pair of a
person drawn w times counts w times, an impostor pair w₁·w₂ times. For each draw the threshold is found anew. This is
the vertex bootstrap that Fogliato, Patil and Perona (IJCV 2024) examine.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autofr.compute.seeding import derive_seed
from autofr.evaluation.comparisons import Comparisons
from autofr.evaluation.figures import Errors

CONFIDENCE = 0.95
_CHUNK = 4096

Counts = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]


def intervals(
    comparisons: Comparisons, errors: Errors, identities: Tensor, resamples: int, seed: int
) -> dict[float, tuple[float, float]]:
    """Interval of FNMR at each FMR: the middle 95 % of its values over the draws.

    Args:
        comparisons: what was measured.
        errors: of ``measure(comparisons, fmrs, tail=True)``.
        identities: (ids,) int64, the identity of each id in the comparisons, from 0.
        resamples: draws.
        seed: decides them.

    Returns:
        Low and high by FMR. NaN where FNMR is not measurable, where a draw has too few impostor pairs for the FMR, and
        with fewer than two identities.
    """
    wanted = [rate.fmr for rate in errors.rates if not math.isnan(rate.fnmr)]
    found = dict.fromkeys((rate.fmr for rate in errors.rates), (math.nan, math.nan))
    people = comparisons.people().numpy()
    if not wanted or len(people) < 2 or resamples < 1:
        return found
    weights = _draws(int(people[-1]) + 1, people, resamples, seed)
    fnmr = _resampled(comparisons, errors, identities.numpy(), weights, wanted)
    tails = [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]
    for fmr, values in zip(wanted, fnmr, strict=True):
        if not np.isnan(values).any():
            low, high = np.percentile(values, tails)
            found[fmr] = (float(low), float(high))
    return found


def _draws(count: int, people: npt.NDArray[np.int64], resamples: int, seed: int) -> Counts:
    """How often each identity is drawn, (identities, resamples)."""
    rng = np.random.default_rng(derive_seed(seed, "identity bootstrap"))
    drawn = np.zeros((count, resamples), dtype=np.uint8)
    share = np.full(len(people), 1 / len(people))
    drawn[people] = np.minimum(rng.multinomial(len(people), share, size=resamples), 255).T
    return drawn


def _resampled(
    comparisons: Comparisons, errors: Errors, identities: npt.NDArray[np.int64], weights: Counts, fmrs: list[float]
) -> Array:
    """FNMR at each FMR of each draw, (fmrs, resamples); NaN where it is not measurable."""
    totals = [comparisons.impostor_weight(torch.from_numpy(w.astype(np.float64))) for w in weights.T]
    allowed = np.floor(np.outer(fmrs, totals) * (1 + 1e-12))
    scores = errors.tail.scores.numpy()
    first, second = (identities[side.long().numpy()] for side in errors.tail.pairs)
    thresholds = _thresholds(scores, first, second, weights, allowed)
    thresholds[allowed < 1] = np.nan
    genuine, order = comparisons.genuine.cpu().sort()
    people = identities[comparisons.genuine_pairs[0].cpu().numpy()[order.numpy()]]
    places = np.searchsorted(genuine.numpy(), thresholds, side="right")
    fnmr = np.full(thresholds.shape, np.nan)
    for draw, counts in enumerate(weights.T):
        rejected = np.concatenate([[0], np.cumsum(counts[people], dtype=np.int64)])
        if rejected[-1]:
            fnmr[:, draw] = rejected[places[:, draw]] / rejected[-1]
    fnmr[np.isnan(thresholds)] = np.nan
    return fnmr


def _thresholds(
    scores: npt.NDArray[np.floating],
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    weights: Counts,
    allowed: Array,
) -> npt.NDArray[np.floating]:
    """For each draw, the first of the falling scores by which more than ``allowed`` impostor pairs have been passed."""
    thresholds = np.full(allowed.shape, np.nan, dtype=scores.dtype)
    passed = np.zeros(weights.shape[1], dtype=np.int64)
    for start in range(0, len(scores), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        pairs = weights[first[chunk]].astype(np.uint16) * weights[second[chunk]]
        after = passed + pairs.sum(0, dtype=np.int64)
        for target, draw in np.argwhere((passed <= allowed) & (after > allowed)):
            within = passed[draw] + np.cumsum(pairs[:, draw], dtype=np.int64)
            thresholds[target, draw] = scores[start + int(np.argmax(within > allowed[target, draw]))]
        passed = after
        if (passed > allowed).all():
            break
    return thresholds
