"""LFS: REINFORCE over categorical probabilities. The policy of the Mask Aware Network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autofr.search.policies.base import CategoricalPolicy, Floats, worst_for_nan
from autofr.spaces import Assignment, SearchSpace


class LFS(CategoricalPolicy):
    """Loss Function Search (Wang et al., ICML 2020) over options, as MAN (ICCV 2021 workshops) uses it.

    α of a dimension of K options is ``floor·1 + (1 - K·floor)·softmax(logits)``: equal at first, and never below
    ``floor``, so that no option dies. Rewards of a generation become 2(r - mean)/(max - min + 1e-6), as in LFS's
    published code; the logits take one Adam step along the mean of reward x ∇ log α(drawn), whose gradient counts
    the floor.

    Args:
        space: what may be chosen.
        seed: seed of the draws.
        lr: Adam's learning rate. LFS publishes 0.05 for its long trainings; in the dozen generations of a short one
            that leaves α flat whatever the rewards say, hence 0.2.
        betas: Adam's decay rates, LFS's (0.5, 0.999).
        floor: lower bound of every α; at most 1/(2K) is used, so that a large pool can still move.
        warmup: generations at the start whose rewards are not learned from (LFS starts at its third epoch): the
            margins are still being ramped in.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int = 0,
        lr: float = 0.2,
        betas: tuple[float, float] = (0.5, 0.999),
        floor: float = 0.02,
        warmup: int = 2,
    ) -> None:
        super().__init__(space, seed)
        self.lr, self.betas, self.floor, self.warmup = lr, betas, floor, warmup
        self.told = self.steps = 0
        sizes = {name: len(choice) for name, choice in space.dimensions.items()}
        self.logits = {name: np.zeros(k) for name, k in sizes.items()}
        self.first = {name: np.zeros(k) for name, k in sizes.items()}  # Adam's moments
        self.second = {name: np.zeros(k) for name, k in sizes.items()}

    def _floor(self, k: int) -> float:
        return min(self.floor, 0.5 / k)

    def alpha(self) -> dict[str, Floats]:
        out = {}
        for name, logits in self.logits.items():
            floor = self._floor(len(logits))
            p = floor + (1 - len(logits) * floor) * _softmax(logits)
            out[name] = p / p.sum()
        return out

    def tell(self, assignments: Sequence[Assignment], rewards: Sequence[float]) -> None:
        super().tell(assignments, rewards)
        self.told += 1
        values = worst_for_nan(rewards)
        if self.told <= self.warmup or not len(values):
            return
        values = 2 * (values - values.mean()) / (np.ptp(values) + 1e-6)
        self.steps += 1
        for name, p in self.alpha().items():
            soft = _softmax(self.logits[name])
            share = 1 - len(p) * self._floor(len(p))
            gradient = np.zeros(len(p))
            for assignment, value in zip(assignments, values, strict=True):
                k = self.space.dimensions[name].index(assignment[name])
                # ∂ log α_k / ∂ logits = share·soft_k·(1_k - soft) / α_k
                gradient += value * share * soft[k] / p[k] * (np.eye(len(p))[k] - soft)
            self._ascend(name, gradient / len(values))

    def _ascend(self, name: str, gradient: Floats) -> None:
        b1, b2 = self.betas
        self.first[name] = b1 * self.first[name] + (1 - b1) * gradient
        self.second[name] = b2 * self.second[name] + (1 - b2) * gradient**2
        mean, square = self.first[name] / (1 - b1**self.steps), self.second[name] / (1 - b2**self.steps)
        self.logits[name] = self.logits[name] + self.lr * mean / (np.sqrt(square) + 1e-8)

    def state(self) -> dict[str, Any]:
        arrays = {key: {n: a.tolist() for n, a in getattr(self, key).items()} for key in _ARRAYS}
        return {**super().state(), **arrays, "told": self.told, "steps": self.steps}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        for key in _ARRAYS:
            setattr(self, key, {n: np.asarray(a, dtype=np.float64) for n, a in state[key].items()})
        self.told, self.steps = state["told"], state["steps"]


_ARRAYS = ("logits", "first", "second")


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max())
    return np.asarray(shifted / shifted.sum())
