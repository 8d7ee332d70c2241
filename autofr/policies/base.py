"""The contract of a policy, and the parts that categorical policies share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from autofr.space.dimensions import Value
from autofr.space.space import Assignment, SearchSpace

Floats: TypeAlias = npt.NDArray[np.float64]

FITTINGS = 50
"""Rounds of proportional fitting; they end within a thousandth of α where that can be had."""
UNFITTED = 0.25
"""Share of draws without it: fitting to what cannot be had would leave some allowed architectures no chance."""


class Policy(Protocol):
    """Owns the probabilities α over a space's options and moves them by rewards.

    A policy knows nothing of torch, disks or MLflow. ``ask`` and ``tell`` are called once a generation, in turn;
    between them the search trains and scores. The same seed and rewards give the same assignments.
    """

    def ask(self, n: int) -> list[Assignment]:
        """Draw ``n`` assignments, one a member, of those that the space allows (:meth:`SearchSpace.allows`). Called at
        the start of a generation."""

    def tell(self, assignments: Sequence[Assignment], rewards: Sequence[float | None]) -> None:
        """Learn from one generation. A reward (higher is better) may be NaN or ``None``: that member diverged, or its
        reward is missing; it counts as the worst of the generation. Called after scoring, before the generation is
        committed."""

    def alpha(self) -> dict[str, Floats]:
        """α as it stands: for every dimension a vector over its options that sums to 1."""

    def state(self) -> dict[str, Any]:
        """Everything that decides what comes next, as JSON-able values. Called at every commit."""

    def load(self, state: dict[str, Any]) -> None:
        """Take back a :meth:`state`. Called at a resume, before the first ``ask``."""


class CategoricalPolicy:
    """A policy that draws every dimension on its own from :meth:`alpha`, with one numpy RNG.

    Where the space has budgets, the architecture is drawn as a whole, among those that are allowed, such that each
    option comes near its α; and with replacement.

    Args:
        space: what may be chosen.
        seed: seed of the draws.
        replacement: ``False`` gives the members of a generation different options, as far as there are enough: with
            the same option they train alike, to the bit if nothing in loss or network is drawn. With more members than
            options, every option is drawn equally often, and the rest without replacement.
    """

    def __init__(self, space: SearchSpace, seed: int = 0, replacement: bool = True) -> None:
        self.space, self.replacement = space, replacement
        self.rng = np.random.default_rng(seed)
        self.budgeted = () if space.allowed is None else space.architecture

    def alpha(self) -> dict[str, Floats]:
        return {name: np.full(len(d), 1 / len(d)) for name, d in self.space.dimensions.items()}

    def ask(self, n: int) -> list[Assignment]:
        alpha = self.alpha()
        drawn = {name: self._draw(name, p, n) for name, p in alpha.items() if name not in self.budgeted}
        if self.budgeted and self.space.allowed is not None:
            chosen = self.rng.choice(len(self.space.allowed), size=n, p=self._joint(alpha))
            rows = np.array(self.space.allowed)[chosen]
            drawn |= {name: [int(k) for k in rows[:, d]] for d, name in enumerate(self.budgeted)}
        return [{name: drawn[name][i] for name in alpha} for i in range(n)]

    def _joint(self, alpha: dict[str, Floats]) -> Floats:
        """The probability of each allowed architecture.

        By iterative proportional fitting (Deming and Stephan, 1940), so that every option is drawn about as often as
        its α says. The product of α, merely restricted to what is allowed, would all but leave out an option
        that few allowed architectures have: a large resolution, say, that goes with small widths alone. It is what a
        quarter of the draws are from, so that every allowed architecture has a chance.
        """
        rows = np.array(self.space.allowed)
        product = np.prod([alpha[name][rows[:, d]] for d, name in enumerate(self.budgeted)], axis=0)
        p = product = product / product.sum()
        for _ in range(FITTINGS):
            for d, name in enumerate(self.budgeted):
                share = np.bincount(rows[:, d], p, len(alpha[name]))
                p = p * (alpha[name] / np.where(share > 0, share, 1))[rows[:, d]]
                p = p / p.sum()
        return np.asarray((1 - UNFITTED) * p + UNFITTED * product)

    def _draw(self, name: str, p: Floats, n: int) -> list[Value]:
        if self.replacement:
            indices = self.rng.choice(len(p), size=n, p=p)
        else:
            rest = self.rng.choice(len(p), size=n % len(p), replace=False, p=p)  # α is nowhere 0
            # Shuffled: the likelier option is drawn the earlier, and dimensions are drawn apart.
            indices = self.rng.permutation(np.concatenate([np.tile(np.arange(len(p)), n // len(p)), rest]))
        return [self.space.dimensions[name].draw(int(i), self.rng) for i in indices]

    def tell(self, assignments: Sequence[Assignment], rewards: Sequence[float | None]) -> None:
        check_told(self.space, assignments, rewards)

    def state(self) -> dict[str, Any]:
        return {"rng": self.rng.bit_generator.state}

    def load(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = state["rng"]


def whole(name: str, value: int) -> int:
    """``value``, a count.

    Raises:
        ValueError: it is no whole number, or below 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is a whole number, 0 or more, got {value!r}")
    return value


def least(floor: float, k: int) -> float:
    """The lower bound in force of each of ``k`` probabilities: not so high that α could not move, and never 0."""
    return min(max(floor, 1e-12), 0.5 / k)


def finite(rewards: Sequence[float | None]) -> Floats:
    """The rewards that are there and finite. A generation with none has nothing to learn from."""
    values = np.asarray(rewards, dtype=np.float64)
    return values[np.isfinite(values)]


def check_told(space: SearchSpace, assignments: Sequence[Assignment], rewards: Sequence[float | None]) -> None:
    """Refuse what does not belong to ``space``.

    Raises:
        ValueError: not one reward an assignment, or an assignment that lacks a dimension or has no such option.
    """
    if len(assignments) != len(rewards):
        raise ValueError(f"{len(assignments)} assignments but {len(rewards)} rewards; give one for each")
    for assignment in assignments:
        for name, dimension in space.dimensions.items():
            if name not in assignment:
                raise ValueError(f"assignment {assignment} has no valid option of dimension '{name}'")
            dimension.index(assignment[name])


def worst_for_nan(rewards: Sequence[float | None]) -> Floats:
    """Rewards as an array in which a missing or non-finite entry (a diverged member) is worse than all others.

    It lies below the worst finite one by the spread of the finite rewards, or by 1 (the range of an FNMR) if they have
    none, so that a diverged member is told from a poor one also when a single member survived. With nothing finite,
    zeros.
    """
    values, known = np.asarray(rewards, dtype=np.float64), finite(rewards)
    if not len(known):
        return np.zeros_like(values)
    return np.where(np.isfinite(values), values, known.min() - (np.ptp(known) or 1.0))
