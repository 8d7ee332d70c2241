"""Exact verification errors. ISO/IEC 19795 words: genuine and impostor comparisons, FNMR and FMR.

The threshold rule: a comparison matches when its score is *above* the threshold. The threshold for a target FMR is
the highest-ranked impostor score that may not match: with n impostor scores in descending order it is the one at
place floor(FMR·n), counting from 0. So the FMR reached is at most the target, ties included, and FNMR is the share
of genuine scores at or below the threshold.

How it stays exact without all scores in memory: a score's *bin* is a monotone function of it, so counts by bin order
the scores but for those within one bin; the scores of the few bins that a threshold falls into are kept and sorted.
Which bins those are is guessed from a sample of the scores; a wrong guess costs a second pass, never a digit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from autofr.evaluation.bins import BINS, Bins, above, bin_of, count, spans_of, where
from autofr.evaluation.comparisons import Comparisons, ScoreLists
from autofr.evaluation.figures import Curve, Errors, Kept, Rate
from autofr.exceptions import AutofrError

TAIL = 1 << 24
"""Most impostor scores kept from the top down, for intervals."""
_DEEP = (1 << 16, 1 << 21)  # by how many ranks a draw of identities may move a threshold: of few impostors, of many
_SHARED = 1 << 23  # ranks so high are kept from the top down, not each in a window of its own
_MOST = 1 << 26  # impostor scores kept in all
_WINDOW = 1 << 22  # most impostor scores kept on each side of a guessed threshold


def impostors_allowed(fmr: float, impostors: int) -> int:
    """How many of ``impostors`` comparisons may match at ``fmr``; the product's float rounding is not counted."""
    return math.floor(fmr * impostors * (1 + 1e-12))


def measure(comparisons: Comparisons, fmrs: Sequence[float], tail: bool = False) -> Errors:
    """Every figure of a set of comparisons, exact.

    Args:
        comparisons: scores, finite.
        fmrs: target false match rates, each above 0 and below 1.
        tail: keep impostor scores down to well below the largest target, for intervals; without, the few highest.

    Raises:
        ValueError: a target that is no rate.
        AutofrError: so many scores all but coincide that they cannot be told apart in memory.
    """
    return _Measurement(comparisons, fmrs, tail).errors()


def measure_scores(genuine: Tensor, impostor: Tensor, fmrs: Sequence[float]) -> Errors:
    """:func:`measure` for two lists of scores.

    Args:
        genuine: (G,) scores, higher is more alike.
        impostor: (I,) scores.
        fmrs: target false match rates.
    """
    dtype = torch.promote_types(genuine.dtype, impostor.dtype)
    return measure(ScoreLists(genuine.to(dtype), impostor.to(dtype)), fmrs)


class _Measurement:
    """One :func:`measure`: the passes over the impostor scores, and what follows from them."""

    def __init__(self, comparisons: Comparisons, fmrs: Sequence[float], tail: bool) -> None:
        for fmr in fmrs:
            if not 0 < fmr < 1:
                raise ValueError(f"a target FMR lies between 0 and 1, got {fmr}")
        self.comparisons, self.fmrs = comparisons, fmrs
        self.genuine, self.device = comparisons.genuine, comparisons.genuine.device
        self.count = comparisons.impostors
        allowed = [impostors_allowed(fmr, self.count) for fmr in fmrs]
        self.ranks = {fmr: k for fmr, k in zip(fmrs, allowed, strict=True) if 1 <= k < self.count}
        largest = max(self.ranks.values(), default=0)
        lowest = largest + min(max(largest, _DEEP[0]), _DEEP[1]) if tail else 0
        self.tail_rank = max(0, min(self.count, TAIL, max(lowest, 64)) - 1)
        self.kept = Kept(self.genuine.new_empty(0), (torch.empty(0, dtype=torch.int32),) * 2)
        self.kept_bins = torch.zeros(BINS, dtype=torch.bool, device=self.device)
        self.impostor_bins = torch.zeros(BINS, dtype=torch.int64, device=self.device)
        sample = comparisons.sample() if self.count and len(self.genuine) else None
        sample = None if sample is None or not len(sample) else sample
        # Bins decide no figure, but what shares one is kept and sorted: they span what scores there seem to be.
        seen = [self.genuine, *([] if sample is None else [sample])]
        bounds = [float(value) for scores in seen if len(scores) for value in scores.aminmax()]
        self.bins = Bins(self.genuine, min(bounds, default=0.0), max(bounds, default=1.0))
        self.genuine_bins = count(self.bins.of(self.genuine))
        self.centre = 0.0 if sample is None else float(sample.mean(dtype=torch.float64).to(sample.dtype))
        self.lowest, self.highest = (min(bounds), max(bounds)) if bounds else (0.0, 1.0)
        self.moments = torch.zeros(2, dtype=torch.float64, device=self.device)
        if self.count and len(self.genuine):
            self._pass_all(sample)

    def _pass_all(self, sample: Tensor | None) -> None:
        guess = self.kept_bins if sample is None else self._guessed(count(self.bins.of(sample)))
        self._pass(guess, first=True)
        needed = self._needed(self.impostor_bins)
        missing = needed & ~self.kept_bins
        if bool((missing & (self.impostor_bins > 0)).any()):
            self._keep_only(needed)
            self._pass(missing, first=False)

    def _keep_only(self, needed: Tensor) -> None:
        chosen = needed[self.bins.of(self.kept.scores).long()].cpu()
        pairs = self.kept.pairs[0][chosen], self.kept.pairs[1][chosen]
        self.kept, self.kept_bins = Kept(self.kept.scores[chosen.to(self.device)], pairs), self.kept_bins & needed

    def _pass(self, wanted: Tensor, first: bool) -> None:
        """Go through the impostor scores once: count them by bin the first time, and keep those of ``wanted`` bins."""
        scores, left, right = [self.kept.scores], [self.kept.pairs[0]], [self.kept.pairs[1]]
        spans, kept = spans_of(wanted), len(self.kept)
        for block in self.comparisons.impostor_blocks():
            numbers = self.bins.of(block.scores)
            if first:
                self.impostor_bins += count(numbers)
                self.moments += self.bins.moments(block.scores, self.centre)
                lowest, highest = block.scores.aminmax() if len(block.scores) else (self.lowest, self.highest)
                self.lowest, self.highest = min(self.lowest, float(lowest)), max(self.highest, float(highest))
            if spans:
                places = where(self.bins.within(numbers, spans))
                kept += len(places)
                if kept > _MOST and first:  # a guess far off: what is needed is kept in a second pass
                    wanted, spans = torch.zeros_like(wanted), []
                    del scores[1:], left[1:], right[1:]
                    continue
                if kept > _MOST:
                    raise AutofrError(
                        f"of {self.count} impostor scores over {_MOST} cannot be told apart: the embeddings all but "
                        "coincide; is the model trained?"
                    )
                if len(places):
                    one, other = block.pairs(places)
                    scores.append(block.scores[places])
                    left.append(one.to("cpu", torch.int32))
                    right.append(other.to("cpu", torch.int32))
        self.kept = Kept(torch.cat(scores), (torch.cat(left), torch.cat(right)))
        self.kept_bins = self.kept_bins | wanted

    def _needed(self, counts: Tensor) -> Tensor:
        """The bins whose scores decide a figure: those of the thresholds, of the tail, and where the errors cross."""
        higher = above(counts)
        needed = torch.zeros(BINS, dtype=torch.bool, device=self.device)
        for rank in self.ranks.values():
            needed[bin_of(higher, rank)] = True
        needed[bin_of(higher, self.tail_rank) :] = True
        needed[self._crossing(counts)] = True
        return needed

    def _guessed(self, sample: Tensor) -> Tensor:
        """The bins that :meth:`_needed` will want, with a margin, by the counts of a sample."""
        higher, share = above(sample), int(sample.sum()) / self.count
        crossing = self._crossing(sample)
        at_crossing = float(higher[crossing] + sample[crossing] / 2) / share
        guessed = torch.zeros(BINS, dtype=torch.bool, device=self.device)
        for rank in (*self.ranks.values(), at_crossing):
            low, high = (self._guess(higher, rank, share, side) for side in (1, -1))
            guessed[low : high + 1] = True
        # What lies above the tail is kept with it; thresholds of few impostors share it.
        shared = max([rank for rank in self.ranks.values() if rank <= _SHARED] + [self.tail_rank])
        guessed[self._guess(higher, shared, share, 1) :] = True
        return guessed

    @staticmethod
    def _guess(higher: Tensor, rank: float, share: float, side: int) -> int:
        """The bin a margin below (``side`` 1) or above (-1) the score at ``rank`` of all, by the sample's counts."""
        moved = (rank + side * min(0.3 * rank, _WINDOW)) * share
        place = moved + side * (3 * math.sqrt(moved) + 3)
        return BINS - 1 if place < 0 else bin_of(higher, int(place))

    def _crossing(self, counts: Tensor) -> int:
        """The bin in which FNMR comes to exceed FMR."""
        below = self.genuine_bins.cumsum(0) - self.genuine_bins  # genuine scores in lower bins
        match = above(counts) + counts  # impostor scores in the bin or above
        crossed = below.double() / len(self.genuine) > match.double() / int(counts.sum())
        return BINS - 1 - int(crossed.logical_not().flip(0).to(torch.uint8).argmax())

    def rates(self) -> tuple[Rate, ...]:
        """FNMR at each target."""
        return tuple(self._rate(fmr) for fmr in self.fmrs)

    def errors(self) -> Errors:
        """What has been measured."""
        empty = not self.count or not len(self.genuine)
        return Errors(
            genuine=len(self.genuine),
            impostors=self.count,
            rates=self.rates(),
            eer=math.nan if empty else self._eer(),
            d_prime=math.nan if empty else self._d_prime(),
            curve=self._curve(),
            histogram=torch.stack([self.genuine_bins, self.impostor_bins]).cpu(),
            low=self.bins.low,
            high=self.bins.high,
            tail=self._tail(),
        )

    def _tail(self) -> Kept:
        lowest = bin_of(above(self.impostor_bins), self.tail_rank)
        places = where(self.bins.within(self.bins.of(self.kept.scores), [(lowest, BINS - 1)])).cpu()
        scores, order = self.kept.scores.cpu()[places].sort(descending=True)
        return Kept(scores, (self.kept.pairs[0][places[order]], self.kept.pairs[1][places[order]]))

    def _in_bin(self, scores: Tensor, index: int) -> Tensor:
        """Those of the scores that lie in a bin, lowest first."""
        return scores[self.bins.of(scores) == index].sort().values

    def _rate(self, fmr: float) -> Rate:
        rank = self.ranks.get(fmr)
        if rank is None or not len(self.genuine):
            return Rate(fmr, math.nan, math.nan, math.nan)
        higher = above(self.impostor_bins)
        index = bin_of(higher, rank)
        threshold = self._in_bin(self.kept.scores, index)[int(higher[index]) - rank - 1]
        rejected, genuine = int((self.genuine <= threshold).sum()), len(self.genuine)
        return Rate(fmr, rejected / genuine, (genuine - rejected) / genuine, float(threshold))

    def _eer(self) -> float:
        index = self._crossing(self.impostor_bins)
        genuine, impostor = self._in_bin(self.genuine, index), self._in_bin(self.kept.scores, index)
        candidates = torch.cat([genuine, impostor]).sort().values
        rejected = torch.searchsorted(genuine, candidates, right=True)
        matched = len(impostor) - torch.searchsorted(impostor, candidates, right=True)
        # Before the first candidate stands the threshold under the whole bin.
        rejected = torch.cat([rejected.new_zeros(1), rejected]) + int(self.genuine_bins[:index].sum())
        matched = torch.cat([matched.new_full((1,), len(impostor)), matched]) + int(above(self.impostor_bins)[index])
        fnmr, fmr = rejected.double() / len(self.genuine), matched.double() / self.count
        best = int((fnmr - fmr).abs().argmin())
        return float(fnmr[best] + fmr[best]) / 2

    def _d_prime(self) -> float:
        genuine = self.genuine.double().sub(self.centre).mul_(self.bins.scale)  # as the impostors' moments are
        mean, square = (self.moments / self.count).tolist()
        spread = math.sqrt((float(genuine.var(correction=0)) + max(0.0, square - mean**2)) / 2)
        return (float(genuine.mean()) - mean) / spread if spread > 0 else math.nan

    def _curve(self) -> Curve:
        if not self.count or not len(self.genuine):
            nothing = torch.empty(0, dtype=torch.float64)
            return Curve(nothing, nothing, nothing)
        match = [(above(c) + c).cpu().double() for c in (self.impostor_bins, self.genuine_bins)]
        counts = torch.stack([torch.cat([m, m.new_zeros(1)]) for m in match])
        changes = torch.ones(BINS + 1, dtype=torch.bool)
        changes[1:] = (counts[:, 1:] != counts[:, :-1]).any(0)
        points = counts[:, changes]
        return Curve(
            points[0] / self.count, points[1] / len(self.genuine), self.bins.edges(self.lowest, self.highest)[changes]
        )
