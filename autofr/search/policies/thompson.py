"""Thompson sampling: every option is drawn as often as it is believed to be the best. The default policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autofr.search.policies.base import CategoricalPolicy, Floats, finite, least, whole
from autofr.spaces import Assignment, SearchSpace

DIVERGED = -3.0
"""What a diverged member counts as, in deviations of the others' rewards: its own distance would drown all others."""


class Thompson(CategoricalPolicy):
    """Thompson sampling with normal rewards (Thompson, Biometrika 1933), for every dimension on its own.

    An option's worth has a normal belief: N(0, 1) before anything is known. A reward counts as its difference from its
    generation's mean, in units of a moving average of the rewards' deviation, seen with noise of deviation 1; members
    that drew the same option count as one, and a generation in which all did, or nobody differed, says nothing. What
    was seen fades: the best option changes while a network trains. α is the probability of each option to be the best
    under these beliefs (by quadrature), mixed with the floor; so drawing from α is Thompson sampling.

    Args:
        space: what may be chosen.
        seed: seed of the draws.
        memory: share of what was known that a generation leaves, above 0, up to 1.
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
        floor: float = 0.02,
        replacement: bool = True,
        warmup: int = 2,
    ) -> None:
        super().__init__(space, seed, replacement)
        if not 0 < memory <= 1:
            raise ValueError(f"memory is above 0 and up to 1, got {memory}")
        if not 0 <= floor < 1:
            raise ValueError(f"floor is from 0 to below 1, got {floor}")
        self.memory, self.floor, self.warmup = memory, floor, whole("warmup", warmup)
        self.told, self.deviation = 0, 0.0
        self.counts = {name: np.zeros(len(d)) for name, d in space.dimensions.items()}
        self.sums = {name: np.zeros(len(d)) for name, d in space.dimensions.items()}

    def alpha(self) -> dict[str, Floats]:
        out = {}
        for name, counts in self.counts.items():
            floor = least(self.floor, len(counts))
            best = probability_of_best(self.sums[name] / (1 + counts), 1 / np.sqrt(1 + counts))
            p = floor + (1 - len(counts) * floor) * best
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
            if len(set(drawn.tolist())) == 1:  # one option alone: nothing it could be compared with
                continue
            self.counts[name] = self.memory * self.counts[name]
            self.sums[name] = self.memory * self.sums[name]
            for k in np.unique(drawn):  # once an option: members that draw the same one are the same to the bit
                self.counts[name][k] += 1
                self.sums[name][k] += values[drawn == k].mean()

    def state(self) -> dict[str, Any]:
        known = {key: {n: a.tolist() for n, a in getattr(self, key).items()} for key in ("counts", "sums")}
        return {**super().state(), **known, "told": self.told, "deviation": self.deviation}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        for key in ("counts", "sums"):
            setattr(self, key, {n: np.asarray(a, dtype=np.float64) for n, a in state[key].items()})
        self.told, self.deviation = state["told"], state["deviation"]


def probability_of_best(means: Floats, deviations: Floats) -> Floats:
    """Probability that each of K independent normal variables is the largest, (K,), summing to 1.

    Args:
        means: (K,).
        deviations: (K,), above 0.
    """
    grid = np.linspace((means - 7 * deviations).min(), (means + 7 * deviations).max(), 1001)
    density = np.exp(-0.5 * ((grid - means[:, None]) / deviations[:, None]) ** 2)
    density /= density.sum(1, keepdims=True)
    below = np.log(np.cumsum(density, 1) - density / 2 + 1e-300)  # log of each one's distribution function
    p = (density * np.exp(below.sum(0) - below)).sum(1)
    return np.asarray(p / p.sum())
