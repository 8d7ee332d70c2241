"""More than one goal: the networks of a search that nothing beats in both error and cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

PRICES = {"accurate": 0.0, "balanced": 0.01, "fast": 0.03}
"""By ``--prefer``: how much lower the error has to be for twice the cost to be worth it."""


@dataclass(frozen=True)
class Trade:
    """How error is weighed against cost.

    Attributes:
        cost: a key of :data:`autofr.backbones.costs.COSTS`.
        prefer: a key of :data:`PRICES`.
    """

    cost: str = "flops"
    prefer: str = "accurate"

    def worth(self, reward: float, cost: float) -> float:
        """The scalarised reward: ``reward - price * log2(cost)``. Policies learn from it where networks are searched,
        and it picks from the Pareto set. NaN where the reward is."""
        return reward - PRICES[self.prefer] * math.log2(cost)


@dataclass(frozen=True)
class Point:
    """A network of the Pareto set.

    Attributes:
        backbone: its name.
        error: minus the reward: a mean of FNMR (:mod:`autofr.evaluation.rewards`).
        cost: in the unit of the search's ``cost``.
        generation, member: where it comes from.
        tensors: its weights, by their names in the network.
    """

    backbone: str
    error: float
    cost: float
    generation: int
    member: int
    tensors: dict[str, Tensor] = field(default_factory=dict, compare=False)

    def said(self) -> dict[str, Any]:
        """All but the weights, by name."""
        return {name: value for name, value in vars(self).items() if name != "tensors"}

    def beats(self, other: Point) -> bool:
        """Whether this one is no worse in either, and not the same in both."""
        no_worse = self.error <= other.error and self.cost <= other.cost
        return no_worse and (self.error, self.cost) != (other.error, other.cost)


class ParetoSet:
    """The points that no other beats, from the cheapest to the dearest."""

    def __init__(self, points: Sequence[Point] = ()) -> None:
        self.points: list[Point] = []
        for point in points:
            self.offer(point)

    def takes(self, point: Point) -> bool:
        """Whether ``point`` would be one of the set: nothing there beats it, or is the same in both."""
        return not any(p.beats(point) or (p.error, p.cost) == (point.error, point.cost) for p in self.points)

    def offer(self, point: Point) -> None:
        """Take ``point`` in, if it belongs, and drop what it beats."""
        if self.takes(point):
            left = [p for p in self.points if not point.beats(p)]
            self.points = sorted([*left, point], key=lambda p: p.cost)

    def pick(self, trade: Trade) -> Point:
        """The point that is worth most; of equals the cheapest."""
        return max(self.points, key=lambda p: (trade.worth(-p.error, p.cost), -p.cost))
