"""LFS as a sampler of Optuna studies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from autofr.policies.lfs import LFS
from autofr.space.dimensions import Choice
from autofr.space.space import SearchSpace


class LFSSampler(BaseSampler):
    """Draws each parameter of an Optuna study from the α of an :class:`LFS` of its own.

    Finished trials, by number, are taken ``population`` at a time as generations. A failed trial, or one whose value
    is NaN, counts as the worst of its generation; a pruned one has its last intermediate value, if it reported any. A
    categorical parameter has an option a choice, a numerical one of no more than ``bins`` values an option a value;
    others have ``bins`` intervals (of the logarithm, where they are logarithmic), and are drawn evenly within one.
    Parameters with other bounds are other parameters. With several workers, a trial that finishes late is counted into
    the generation of its number, and those after it are counted anew.

    What it knows is computed from the study's trials whenever it is asked, in time proportional to their number. So any
    storage, several workers and a resumed study work, and the sampler itself has no state but its RNG.

    Args:
        seed: of the draws; ``None``: from the operating system.
        population: trials a generation, 2 or more.
        bins: intervals of a numerical parameter, 1 or more.
        settings: of :class:`LFS`: ``lr``, ``betas``, ``floor``, ``temperature``, ``baseline``, ``warmup`` (here 0).
            Not ``replacement``: trials are drawn one by one.

    Raises:
        ValueError: a setting out of range, or (when asked) a study of several objectives.
    """

    def __init__(self, seed: int | None = None, population: int = 4, bins: int = 10, **settings: Any) -> None:
        if population < 2 or bins < 1:
            raise ValueError(f"population is 2 or more and bins 1 or more, got {population} and {bins}")
        self.population, self.bins = population, bins
        if "replacement" in settings:
            raise ValueError("LFSSampler draws trials one by one: it has no setting 'replacement'")
        self.settings = {"replacement": True, "warmup": 0, **settings}
        LFS(SearchSpace.of({"any": Choice("option")}), **self.settings)  # refuses what is out of range, now
        self._rng = np.random.default_rng(seed)

    def reseed_rng(self) -> None:
        """Called by Optuna in every worker, so that they draw differently."""
        self._rng = np.random.default_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Empty: parameters are drawn independently."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing: see :meth:`infer_relative_search_space`."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value of one parameter. Called by Optuna for each parameter of a trial."""
        p = self.alpha(study, param_name, param_distribution)
        index = int(self._rng.choice(len(p), p=p))
        if isinstance(param_distribution, CategoricalDistribution):
            return param_distribution.choices[index]
        few = _values(param_distribution, self.bins)
        return few[index] if few else _within(param_distribution, (index + float(self._rng.random())) / len(p))

    def alpha(self, study: Study, param_name: str, param_distribution: BaseDistribution) -> np.ndarray[Any, Any]:
        """α over the choices, or the bins, of one parameter, as the study stands."""
        if len(study.directions) > 1:
            raise ValueError(f"LFSSampler has one objective, the study has {len(study.directions)}")
        few = _values(param_distribution, self.bins)
        options = len(few) if few else self.bins
        policy = LFS(SearchSpace.of({param_name: Choice(range(options))}), **self.settings)
        finished = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        trials = [
            t
            for t in study.get_trials(deepcopy=False, states=finished)
            if t.distributions.get(param_name) == param_distribution
        ]
        for first in range(0, len(trials) - self.population + 1, self.population):
            generation = trials[first : first + self.population]
            drawn = [_place(param_distribution, t.params[param_name], self.bins) for t in generation]
            policy.tell([{param_name: i} for i in drawn], _rewards(generation, study.direction))
        return policy.alpha()[param_name]


def _rewards(trials: Sequence[FrozenTrial], direction: StudyDirection) -> list[float]:
    sign = -1.0 if direction == StudyDirection.MINIMIZE else 1.0
    values = []
    for trial in trials:
        value = trial.value if trial.state == TrialState.COMPLETE else None
        if trial.state == TrialState.PRUNED and trial.last_step is not None:
            value = trial.intermediate_values[trial.last_step]
        values.append(math.nan if value is None else sign * value)
    return values


def _values(distribution: BaseDistribution, bins: int) -> list[Any]:
    """Every value, if they are choices or no more than ``bins``; else none."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if low == high:
        return [low]
    count = 0 if step is None else round((high - low) / step) + 1
    return [type(low)(low + i * step) for i in range(count)] if step is not None and count <= bins else []


def _edges(distribution: FloatDistribution | IntDistribution) -> tuple[float, float]:
    """Bounds of an even draw, of the logarithm if it is logarithmic. Half a step beyond, the ends are as likely."""
    half = (distribution.step or 0) / 2
    low, high = distribution.low - half, distribution.high + half
    return (math.log(low), math.log(high)) if distribution.log else (low, high)


def _within(distribution: BaseDistribution, share: float) -> float | int:
    """The value a ``share`` (0 to 1) of the way between the bounds."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = _edges(distribution)
    drawn = low + share * (high - low)
    drawn = math.exp(drawn) if distribution.log else drawn
    if distribution.step is not None:
        drawn = distribution.low + round((drawn - distribution.low) / distribution.step) * distribution.step
    return type(distribution.low)(min(max(drawn, distribution.low), distribution.high))


def _place(distribution: BaseDistribution, value: Any, bins: int) -> int:
    """The option, or the interval, that ``value`` lies in."""
    if isinstance(distribution, CategoricalDistribution):
        return int(distribution.to_internal_repr(value))
    few = _values(distribution, bins)
    if few:
        return min(range(len(few)), key=lambda i: abs(few[i] - value))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = _edges(distribution)
    return min(bins - 1, int(((math.log(value) if distribution.log else value) - low) / (high - low) * bins))
