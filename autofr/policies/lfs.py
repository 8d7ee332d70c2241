"""LFS: REINFORCE over categorical probabilities. The policy of the Mask Aware Network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from autofr.policies.base import CategoricalPolicy, Floats, finite, least, whole, worst_for_nan
from autofr.policies.without_replacement import set_weights
from autofr.space.dimensions import Value
from autofr.space.space import Assignment, SearchSpace


class LFS(CategoricalPolicy):
    """Loss Function Search (Wang et al., ICML 2020) over options, as MAN (ICCV 2021 workshops) uses it.

    Every dimension has probabilities of its own: α of K options is ``floor·1 + (1 - K·floor)·softmax(θ/temperature)``,
    equal at first, and never below ``floor``, so that no option dies. Rewards of a generation become
    2(r - mean)/(max - min + 1e-6), as in LFS's published code; θ takes one Adam step along the mean of
    reward x ∇ log α(drawn), whose gradient counts the floor.

    Without replacement, members of a generation differ; the mean is then weighted as the unordered-set estimator says
    (Kool et al., ICLR 2020), which makes it an estimate of the same gradient: unbiased but for the baseline, which is
    the generation's own.

    Args:
        space: what may be chosen.
        seed: seed of the draws.
        lr: Adam's learning rate. LFS publishes 0.05 for its long trainings; in the dozen or two generations of a short
            one that leaves α nearly flat. 0.4 lost least on measured rewards (``experiments/policy_regret``).
        betas: Adam's decay rates, LFS's (0.5, 0.999).
        floor: lower bound of every α; at most 1/(2K) is used, so that a large pool can still move.
        temperature: above 0; below 1 α follows θ more sharply.
        replacement: see :class:`CategoricalPolicy`.
        warmup: generations at the start whose rewards are not learned from (LFS starts at its third epoch): the
            margins are still being ramped in.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int = 0,
        lr: float = 0.4,
        betas: tuple[float, float] = (0.5, 0.999),
        floor: float = 0.02,
        temperature: float = 1.0,
        replacement: bool = True,
        warmup: int = 2,
    ) -> None:
        super().__init__(space, seed, replacement)
        for name, value in (("lr", lr), ("temperature", temperature)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is above 0, got {value}")
        if not 0 <= floor < 1:
            raise ValueError(f"floor is from 0 to below 1, got {floor}")
        if not (isinstance(betas, tuple | list) and len(betas) == 2 and all(0 <= b < 1 for b in betas)):
            raise ValueError(f"betas are two numbers from 0 to below 1, got {betas!r}")
        self.lr, self.betas, self.floor, self.temperature = lr, betas, floor, temperature
        self.warmup = whole("warmup", warmup)
        self.told = self.steps = 0
        self.theta = {name: self._start(name) for name in space}
        self.first = {name: np.zeros_like(theta) for name, theta in self.theta.items()}  # Adam's moments
        self.second = {name: np.zeros_like(theta) for name, theta in self.theta.items()}

    def _start(self, name: str) -> Floats:
        return np.zeros(len(self.space.dimensions[name]))

    def _share(self, name: str) -> tuple[float, float]:
        """The floor in force, and the share of probability that is above it."""
        k = len(self.space.dimensions[name])
        floor = least(self.floor, k)
        return floor, 1 - k * floor

    def _softmax(self, name: str) -> Floats:
        scaled = self.theta[name] / self.temperature
        powers = np.exp(scaled - scaled.max())
        return np.asarray(powers / powers.sum())

    def alpha(self) -> dict[str, Floats]:
        return {name: self._alpha(name) for name in self.space}

    def _alpha(self, name: str) -> Floats:
        floor, share = self._share(name)
        p = floor + share * self._softmax(name)
        return np.asarray(p / p.sum())

    def tell(self, assignments: Sequence[Assignment], rewards: Sequence[float | None]) -> None:
        super().tell(assignments, rewards)
        self.told += 1
        if self.told <= self.warmup or not len(finite(rewards)):
            return
        advantages = self.advantages(worst_for_nan(rewards), finite(rewards))
        self.steps += 1
        for name in self.space:
            self._ascend(name, self._gradient(name, [a[name] for a in assignments], advantages))

    def advantages(self, rewards: Floats, known: Floats) -> Floats:
        """Return ``rewards`` against their mean, in units of their spread; ``known`` are those of sound members."""
        return np.asarray(2 * (rewards - rewards.mean()) / (np.ptp(rewards) + 1e-6))

    def _gradient(self, name: str, drawn: Sequence[Value], advantages: Floats) -> Floats:
        """The gradient by θ of the expected advantage, estimated."""
        indices = np.array([self.space.dimensions[name].index(value) for value in drawn])
        p, soft, (_, share) = self._alpha(name), self._softmax(name), self._share(name)
        if self.replacement or name in self.budgeted:
            options, weights = indices, np.full(len(indices), 1 / len(indices))
        else:
            options = np.unique(indices)
            advantages = np.array([advantages[indices == k].mean() for k in options])
            weights = set_weights(p, options)
        # ∂ log α_k / ∂ θ = share·soft_k·(1_k - soft) / (α_k·temperature)
        scores = (share * soft[options] / p[options])[:, None] * (np.eye(len(p))[options] - soft) / self.temperature
        return np.asarray((weights * advantages) @ scores)

    def _ascend(self, name: str, gradient: Floats) -> None:
        b1, b2 = self.betas
        self.first[name] = b1 * self.first[name] + (1 - b1) * gradient
        self.second[name] = b2 * self.second[name] + (1 - b2) * gradient**2
        mean, square = self.first[name] / (1 - b1**self.steps), self.second[name] / (1 - b2**self.steps)
        self.theta[name] = self.theta[name] + self.lr * mean / (np.sqrt(square) + 1e-8)

    def state(self) -> dict[str, Any]:
        arrays = {key: {n: a.tolist() for n, a in getattr(self, key).items()} for key in _ARRAYS}
        return {**super().state(), **arrays, "told": self.told, "steps": self.steps}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        for key in _ARRAYS:
            setattr(self, key, {n: np.asarray(a, dtype=np.float64) for n, a in state[key].items()})
        self.told, self.steps = state["told"], state["steps"]


_ARRAYS = ("theta", "first", "second")
