"""LFS as published: REINFORCE over a continuous parameter, under a normal distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from autofr.exceptions import AutofrError
from autofr.policies.base import Floats
from autofr.policies.lfs import LFS
from autofr.space.dimensions import Range, Value
from autofr.space.space import SearchSpace

_NORMAL = NormalDist()


class LFSGaussian(LFS):
    """Loss Function Search (Wang et al., ICML 2020) over a :class:`autofr.Range`.

    The parameter, as a share of its range, is drawn from a normal distribution of mean θ and deviation ``sigma``,
    truncated to [0, 1], and mixed with as much of the even distribution as gives every bin of α its ``floor``. That
    very density is the one whose gradient by θ is taken; θ starts in the middle and stays within [0, 1]. The published
    code draws a sample, folds it by ReLU, and scores it under the unfolded density, starting at 0, where ReLU has no
    gradient: its mean cannot move.

    Dimensions that are no range are drawn as :class:`LFS` draws them.

    Args:
        space: with at least one range.
        seed: seed of the draws.
        lr: Adam's learning rate, in shares of the range (and for options as in :class:`LFS`). LFS publishes 0.05, and
            0.2 for ``sigma``; 0.4 and 0.1 lost less on measured rewards (``experiments/policy_regret``).
        sigma: deviation, as a share of the range, 0.01 to 10.
        betas, floor, warmup: see :class:`LFS`.
        temperature, replacement: see :class:`LFS`; of dimensions that are no range.

    Raises:
        AutofrError: the space has no range.
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int = 0,
        lr: float = 0.4,
        sigma: float = 0.1,
        betas: tuple[float, float] = (0.5, 0.999),
        floor: float = 0.02,
        temperature: float = 1.0,
        replacement: bool = True,
        warmup: int = 2,
    ) -> None:
        if not any(isinstance(dimension, Range) for dimension in space.dimensions.values()):
            raise AutofrError(
                "policy 'lfs_gaussian' searches a parameter between bounds, and this space has only options; "
                "use thompson or lfs, or write loss=Range(ArcFace, m=(0.05, 0.5))"
            )
        if not 0.01 <= sigma <= 10:
            raise ValueError(f"sigma is a share of the range, 0.01 to 10, got {sigma}")
        self.sigma = sigma
        super().__init__(space, seed, lr, betas, floor, temperature, replacement, warmup)

    def _start(self, name: str) -> Floats:
        return np.array([0.5]) if self._is_range(name) else super()._start(name)

    def _is_range(self, name: str) -> bool:
        return isinstance(self.space.dimensions[name], Range)

    def _ends(self, name: str) -> tuple[float, float]:
        """The range's bounds, in deviations from the mean."""
        mean = float(self.theta[name][0])
        return (0 - mean) / self.sigma, (1 - mean) / self.sigma

    def _alpha(self, name: str) -> Floats:
        if not self._is_range(name):
            return super()._alpha(name)
        (low, high), k = self._ends(name), len(self.space.dimensions[name])
        edges = np.array([_NORMAL.cdf(low + (high - low) * i / k) for i in range(k + 1)])
        floor, share = self._share(name)
        p = floor + share * np.diff(edges) / (edges[-1] - edges[0])
        return np.asarray(p / p.sum())

    def _draw(self, name: str, p: Floats, n: int) -> list[Value]:
        dimension = self.space.dimensions[name]
        if not isinstance(dimension, Range):
            return super()._draw(name, p, n)
        low, high = (_NORMAL.cdf(end) for end in self._ends(name))
        mean, (_, share) = float(self.theta[name][0]), self._share(name)
        drawn: list[Value] = []
        for from_normal, u in self.rng.random((n, 2)).tolist():
            inside = min(max(low + u * (high - low), 1e-300), 1 - 1e-16)
            drawn.append(dimension.at(mean + self.sigma * _NORMAL.inv_cdf(inside) if from_normal < share else u))
        return drawn

    def _gradient(self, name: str, drawn: Sequence[Value], advantages: Floats) -> Floats:
        dimension = self.space.dimensions[name]
        if not isinstance(dimension, Range):
            return super()._gradient(name, drawn, advantages)
        shares = [(value - dimension.low) / (dimension.high - dimension.low) for value in drawn]
        return np.array([np.mean([a * self.score(name, x) for a, x in zip(advantages, shares, strict=True)])])

    def density(self, name: str, x: float) -> float:
        """Density of a draw in dimension ``name`` at ``x``, a share of the range, 0 to 1."""
        low, high = self._ends(name)
        _, share = self._share(name)
        return (1 - share) + share * self._normal(x, float(self.theta[name][0]), low, high)

    def score(self, name: str, x: float) -> float:
        """∂ log :meth:`density` / ∂ mean at ``x``."""
        mean, (low, high), (_, share) = float(self.theta[name][0]), self._ends(name), self._share(name)
        within = _NORMAL.cdf(high) - _NORMAL.cdf(low)
        slope = (x - mean) / self.sigma**2 - (_NORMAL.pdf(low) - _NORMAL.pdf(high)) / (self.sigma * within)
        return share * self._normal(x, mean, low, high) * slope / self.density(name, x)

    def _normal(self, x: float, mean: float, low: float, high: float) -> float:
        within = _NORMAL.cdf(high) - _NORMAL.cdf(low)
        return math.exp(-0.5 * ((x - mean) / self.sigma) ** 2) / (math.sqrt(2 * math.pi) * self.sigma * within)

    def _ascend(self, name: str, gradient: Floats) -> None:
        super()._ascend(name, gradient)
        if self._is_range(name):
            self.theta[name] = self.theta[name].clip(0, 1)
