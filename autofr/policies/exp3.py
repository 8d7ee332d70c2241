"""Exp3: exponential weights, the bandit that assumes nothing of how rewards come about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autofr.policies.base import CategoricalPolicy, Floats, whole, worst_for_nan
from autofr.space.space import Assignment, SearchSpace


class Exp3(CategoricalPolicy):
    """Exp3 (Auer et al., SIAM Journal on Computing, 2002), for every dimension on its own; a baseline.

    α = (1 - gamma)·w/Σw + gamma/K. A generation's rewards are scaled to [0, 1] by its worst and its best; an option's
    log-weight grows by gamma/K times the mean, over members, of reward/α(option).

    Args:
        space: what may be chosen.
        seed: seed of the draws.
        gamma: share of even exploration, and rate of learning, above 0, up to 1.
        warmup: generations at the start that are not learned from.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(self, space: SearchSpace, seed: int = 0, gamma: float = 0.5, warmup: int = 2) -> None:
        super().__init__(space, seed)
        if not 0 < gamma <= 1:
            raise ValueError(f"gamma is a share above 0 and up to 1, got {gamma}")
        self.gamma, self.warmup, self.told = gamma, whole("warmup", warmup), 0
        self.log_weights = {name: np.zeros(len(d)) for name, d in space.dimensions.items()}

    def alpha(self) -> dict[str, Floats]:
        out = {}
        for name, logs in self.log_weights.items():
            powers = np.exp(logs - logs.max())
            p = (1 - self.gamma) * powers / powers.sum() + self.gamma / len(logs)
            out[name] = p / p.sum()
        return out

    def tell(self, assignments: Sequence[Assignment], rewards: Sequence[float | None]) -> None:
        super().tell(assignments, rewards)
        self.told += 1
        if self.told <= self.warmup or not len(rewards):
            return
        values = worst_for_nan(rewards)
        scaled = (values - values.min()) / (np.ptp(values) or 1)
        for name, p in self.alpha().items():
            for assignment, value in zip(assignments, scaled, strict=True):
                k = self.space.dimensions[name].index(assignment[name])
                self.log_weights[name][k] += self.gamma / len(p) * value / p[k] / len(values)

    def state(self) -> dict[str, Any]:
        weights = {name: logs.tolist() for name, logs in self.log_weights.items()}
        return {**super().state(), "log_weights": weights, "told": self.told}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        self.log_weights = {n: np.asarray(logs, dtype=np.float64) for n, logs in state["log_weights"].items()}
        self.told = state["told"]
