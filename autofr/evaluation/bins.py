"""Bins of scores: a monotone function from scores to whole numbers, and counts by it."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

BINS = 1 << 16

Spans = Sequence[tuple[int, int]]


class Bins:
    """The bins of scores between ``low`` and ``high``; what lies outside goes to the outermost.

    Results of :meth:`of` and :meth:`within` are good until the next call: memory that is new for each block of scores
    costs more than the work done in it.

    Args:
        like: a tensor of the scores' dtype and device.
        low, high: decide no figure, but how many scores share a bin.
    """

    def __init__(self, like: Tensor, low: float, high: float) -> None:
        span = min(high - low, sys.float_info.max)
        # A power of two: the product is then exact, and a score's bin the same wherever it is computed.
        exponent = math.floor(math.log2(BINS) - math.log2(span)) if span > 0 else 0
        most = math.floor(math.log2(torch.finfo(like.dtype).max)) - 1
        self.scale = 2.0 ** max(-most, min(most, exponent))
        self.low, self.high = low, low + BINS / self.scale
        self._scaled = like.new_empty(0)
        self._numbers = torch.empty(0, dtype=torch.int32, device=like.device)
        self._flags = [torch.empty(0, dtype=torch.bool, device=like.device)] * 3

    def of(self, scores: Tensor) -> Tensor:
        """The bin of each score, (K,) int32: never falls as scores rise."""
        if len(scores) > len(self._scaled):
            self._scaled, self._numbers = scores.new_empty(len(scores)), self._numbers.new_empty(len(scores))
        scaled, numbers = self._scaled[: len(scores)], self._numbers[: len(scores)]
        torch.sub(scores, self.low, out=scaled)
        return numbers.copy_(scaled.mul_(self.scale).clamp_(0, BINS - 1))

    def moments(self, scores: Tensor, centre: float) -> Tensor:
        """Sums of the scores and of their squares, (2,) float64, in widths of a bin, about a centre of their dtype."""
        about = torch.sub(scores, centre, out=self._scaled[: len(scores)]).mul_(self.scale)
        first = about.sum()
        return torch.stack([first.double(), about.mul_(about).sum().double()])

    def edges(self, lowest: float, highest: float) -> Tensor:
        """The lower edge of each bin and the upper one of the last, (BINS + 1,) float64.

        Args:
            lowest, highest: of the scores: the outermost bins reach as far.
        """
        edges = self.low + torch.arange(BINS + 1, dtype=torch.float64) / self.scale
        edges[0], edges[-1] = min(float(edges[0]), lowest), max(float(edges[-1]), math.nextafter(highest, math.inf))
        return edges

    def within(self, numbers: Tensor, spans: Spans) -> Tensor:
        """Which of the bins lie in one of the spans, (K,) bool.

        Args:
            numbers: (K,) of :meth:`of`.
            spans: first and last bin of each, one span or more.
        """
        if len(self._flags[0]) < len(numbers):
            self._flags = [self._flags[0].new_empty(len(numbers)) for _ in range(3)]
        found, here, below = (buffer[: len(numbers)] for buffer in self._flags)
        for turn, (first, last) in enumerate(spans):
            inside = here if turn else found
            torch.ge(numbers, first, out=inside)
            if last < BINS - 1:
                inside &= torch.le(numbers, last, out=below)
            if turn:
                found |= inside
        return found


def count(numbers: Tensor) -> Tensor:
    """How many scores are in each bin, (BINS,) int64."""
    return torch.bincount(numbers, minlength=BINS)


def above(counts: Tensor) -> Tensor:
    """How many scores lie in higher bins than each, (BINS,) int64."""
    return counts.sum() - counts.cumsum(0)


def bin_of(higher: Tensor, rank: int) -> int:
    """The bin that holds the score at ``rank``, counting from the highest as 0; ``higher`` is of :func:`above`."""
    # It falls with the bin: the score lies in the lowest bin that has at most ``rank`` scores above it.
    return int((higher <= rank).to(torch.uint8).argmax())


def spans_of(wanted: Tensor) -> list[tuple[int, int]]:
    """First and last bin of every run of wanted ones.

    Args:
        wanted: (BINS,) bool.
    """
    steps = torch.nn.functional.pad(wanted.to(torch.int8), (1, 1)).diff()
    starts, stops = (steps == 1).nonzero()[:, 0].tolist(), (steps == -1).nonzero()[:, 0].tolist()
    return [(first, last - 1) for first, last in zip(starts, stops, strict=True)]


def where(mask: Tensor) -> Tensor:
    """Places that are true, int64. On the CPU by numpy, which takes half the time."""
    return torch.from_numpy(np.flatnonzero(mask.numpy())) if mask.device.type == "cpu" else mask.nonzero()[:, 0]
