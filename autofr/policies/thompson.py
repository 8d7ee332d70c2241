"""Thompson sampling: every option is drawn as often as it is believed to be the best. The default policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from autofr.policies.base import CategoricalPolicy, Floats, finite, least, whole
from autofr.policies.kernel import likeness
from autofr.space.space import Assignment, SearchSpace

DIVERGED = -3.0
"""What a diverged member counts as, in deviations of the others' rewards: its own distance would drown all others."""


class Thompson(CategoricalPolicy):
    """Thompson sampling with normal rewards (Thompson, Biometrika 1933), for every dimension on its own.

    Options have a joint normal belief: before anything is known each one's worth is N(0, 1), and options that are told
    apart by one number are alike (:func:`autofr.policies.kernel.likeness`: a Gaussian process), so that what
    is learned of a margin counts for its neighbours. Rewards count in units of a moving average of their deviation
    within a generation, seen with noise of deviation 1, and only by how members of a generation differ: its level is
    not known. Members that drew the same option count as one, and a generation in which all did, or nobody differed,
    says nothing. What was seen fades: the best option changes while a network trains. α is the probability of each
    option to be the best, over what it was before anything was known, made to sum to 1 and mixed with the floor: all
    are equal at first, where under the belief alone the ends of a line would be the likeliest, and an end has to show
    more than its neighbour. Drawing from it is Thompson sampling but for that.

    Args:
        space: what may be chosen.
        seed: seed of the draws.
        memory: share of what was known that a generation leaves, above 0, up to 1.
        reach: how far along a line of options, as a share of it, what is learned carries; 0: not at all.
        floor: lower bound of every α; at most 1/(2K) is used.
        replacement: see :class:`CategoricalPolicy`.
        warmup: generations at the start that are not learned from.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int = 0,
        memory: float = 0.95,
        reach: float = 0.5,
        floor: float = 0.02,
        replacement: bool = True,
        warmup: int = 2,
    ) -> None:
        super().__init__(space, seed, replacement)
        if not 0 < memory <= 1:
            raise ValueError(f"memory is above 0 and up to 1, got {memory}")
        if not 0 <= reach < math.inf:
            raise ValueError(f"reach is 0 or more, got {reach}")
        if not 0 <= floor < 1:
            raise ValueError(f"floor is from 0 to below 1, got {floor}")
        self.memory, self.floor, self.warmup = memory, floor, whole("warmup", warmup)
        self.told, self.deviation = 0, 0.0
        self._prior = {name: likeness(d, reach) for name, d in space.dimensions.items()}
        self._expected = {n: probability_of_best(np.zeros(len(prior)), prior) for n, prior in self._prior.items()}
        # What was seen, as a normal likelihood: its precision matrix, and that times its mean.
        self.precision = {name: np.zeros((len(d), len(d))) for name, d in space.dimensions.items()}
        self.weighted = {name: np.zeros(len(d)) for name, d in space.dimensions.items()}

    def beliefs(self, name: str) -> tuple[Floats, Floats]:
        """Mean (K,) and covariance (K, K) of the options' worth in dimension ``name``."""
        prior, precision = self._prior[name], self.precision[name]
        # (prior⁻¹ + precision)⁻¹, without the inverse of a prior that may be all but singular.
        covariance = np.linalg.solve(np.eye(len(prior)) + prior @ precision, prior)
        return covariance @ self.weighted[name], (covariance + covariance.T) / 2

    def alpha(self) -> dict[str, Floats]:
        out = {}
        for name, dimension in self.space.dimensions.items():
            floor = least(self.floor, len(dimension))
            best = probability_of_best(*self.beliefs(name)) / self._expected[name]
            p = floor + (1 - len(dimension) * floor) * best / best.sum()
            out[name] = p / p.sum()
        return out

    def tell(self, assignments: Sequence[Assignment], rewards: Sequence[float | None]) -> None:
        super().tell(assignments, rewards)
        self.told += 1
        known = finite(rewards)
        if self.told <= self.warmup or not len(known):
            return
        spread = float(known.std())
        if spread == 0 and len(known) == len(rewards):
            return
        if spread > 0:
            self.deviation = spread if self.deviation == 0 else 0.7 * self.deviation + 0.3 * spread
        worth = (np.asarray(rewards, dtype=np.float64) - known.mean()) / (self.deviation or 1.0)
        values = np.where(np.isfinite(worth), worth, DIVERGED)
        for name, dimension in self.space.dimensions.items():
            drawn = np.array([dimension.index(assignment[name]) for assignment in assignments])
            met = np.unique(drawn)  # once an option: members that draw the same one are the same to the bit
            if len(met) == 1:  # one option alone: nothing it could be compared with
                continue
            compared = np.eye(len(met)) - 1 / len(met)  # with an unknown level, whatever it was
            self.precision[name] = self.memory * self.precision[name]
            self.weighted[name] = self.memory * self.weighted[name]
            self.precision[name][np.ix_(met, met)] += compared
            self.weighted[name][met] += compared @ np.array([values[drawn == k].mean() for k in met])

    def state(self) -> dict[str, Any]:
        known = {key: {n: a.tolist() for n, a in getattr(self, key).items()} for key in ("precision", "weighted")}
        return {**super().state(), **known, "told": self.told, "deviation": self.deviation}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        for key in ("precision", "weighted"):
            setattr(self, key, {n: np.asarray(a, dtype=np.float64) for n, a in state[key].items()})
        self.told, self.deviation = state["told"], state["deviation"]


def probability_of_best(mean: Floats, covariance: Floats) -> Floats:
    """Probability that each of K jointly normal variables is the largest, (K,), above 0, summing to 1: from so many
    draws, the same ones each time, that its standard error is 0.004 at most.

    Args:
        mean: (K,).
        covariance: (K, K).
    """
    values, vectors = np.linalg.eigh(covariance)
    draws = _draws(len(mean)) * np.sqrt(np.maximum(values, 0)) @ vectors.T
    counts = np.bincount((mean + draws).argmax(1), minlength=len(mean)) + 0.5
    return np.asarray(counts / counts.sum())


@lru_cache(maxsize=16)
def _draws(k: int) -> Floats:
    """(16384, K) standard normal numbers, with every one's opposite."""
    half = np.random.default_rng(k).standard_normal((8192, k))
    return np.concatenate([half, -half])
