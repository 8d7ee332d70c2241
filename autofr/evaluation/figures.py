"""What a measurement gives: operating points, curves, and the scores that decide them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from autofr.evaluation.comparisons import Pairs


@dataclass(frozen=True)
class Rate:
    """One operating point.

    Attributes:
        fmr: the target.
        fnmr: FNMR there, exact. NaN: not measurable, with I < 1/fmr or without genuine or impostor scores.
        tar: true accept rate (TAR@FAR, a ROC's TPR): 1 - FNMR, rounded once.
        threshold: the score above which a comparison matches. NaN likewise.
    """

    fmr: float
    fnmr: float
    tar: float
    threshold: float


@dataclass(frozen=True)
class Curve:
    """Operating points, exact, by rising threshold: what a DET and a ROC plot show.

    Attributes:
        fmr, tar: (K,) float64, at each threshold; FNMR is 1 - TAR.
        thresholds: (K,) float64. A comparison whose score is at or above it matches (up to the bin's rounding).
    """

    fmr: Tensor
    tar: Tensor
    thresholds: Tensor


@dataclass(frozen=True)
class Kept:
    """Scores that were kept, highest first, with the ids of the sides compared."""

    scores: Tensor
    pairs: Pairs

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Errors:
    """What a set of comparisons says of a model.

    Attributes:
        genuine, impostors: how many comparisons.
        rates: one a target FMR, in the order asked for.
        eer: equal error rate: (FMR + FNMR)/2 at the threshold where the two differ least. NaN without scores.
        d_prime: (mean genuine - mean impostor) / sqrt(mean of their variances). NaN without scores.
        curve: operating points at the edges of the bins.
        histogram: (2, BINS) counts of genuine and impostor scores.
        low, high: scores at the first and the last edge of the bins.
        tail: the highest impostor scores: all of them down to a place well below the largest target FMR, as far as
            ``TAIL`` reaches.
    """

    genuine: int
    impostors: int
    rates: tuple[Rate, ...]
    eer: float
    d_prime: float
    curve: Curve
    histogram: Tensor
    low: float
    high: float
    tail: Kept

    @property
    def fnmr(self) -> dict[float, float]:
        """FNMR by target FMR."""
        return {rate.fmr: rate.fnmr for rate in self.rates}
