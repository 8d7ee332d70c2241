"""A policy as a tuner of NNI experiments. Needs ``pip install 'autofr[nni]'``; import it only where NNI is used."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from nni.tuner import Tuner

from autofr.integrations.nni_space import space_from_nni
from autofr.policies import create_policy
from autofr.policies.base import Policy, whole
from autofr.space.space import Assignment, SearchSpace


class LFSTuner(Tuner):  # type: ignore[misc]
    """An NNI tuner over the same policies that drive a search::

        experiment.config.tuner = CustomAlgorithmConfig(
            class_name="autofr.integrations.nni.LFSTuner", class_args={"population": 4, "seed": 0}
        )

    ``population`` trials are asked for at a time; when all of them have reported, the policy is told. A trial that ends
    without a final result counts as diverged. With more trials at once than a generation has, or some that take long,
    the next generation is asked for before the last one is told.

    Args:
        population: trials a generation, 2 or more.
        optimize_mode: ``maximize`` or ``minimize`` the trials' final result.
        policy: as for ``--policy``.
        seed: of the draws.

    Raises:
        ValueError: an argument out of range.
        AutofrError: on learning the search space: a parameter that is no ``choice``, or an unknown policy.
    """

    def __init__(
        self, population: int = 4, optimize_mode: str = "maximize", policy: str = "lfs", seed: int = 0
    ) -> None:
        super().__init__()
        if optimize_mode not in ("maximize", "minimize"):
            raise ValueError(f"optimize_mode is maximize or minimize, got {optimize_mode!r}")
        if whole("population", population) < 2:
            raise ValueError(f"a population needs 2 trials or more to compare, got {population}")
        self.population, self.sign = population, 1.0 if optimize_mode == "maximize" else -1.0
        self.name, self.seed = policy, seed
        self.space: SearchSpace | None = None
        self.policy: Policy | None = None
        self.waiting: deque[tuple[int, Assignment]] = deque()  # generation, and what was drawn and not yet given out
        self.trials: dict[int, tuple[int, Assignment]] = {}
        self.results: dict[int, list[tuple[Assignment, float]]] = {}
        self.generations = 0

    def update_search_space(self, search_space: dict[str, Any]) -> None:
        """Called by NNI before the first trial; a later change starts the policy anew."""
        self.space = space_from_nni(search_space)
        self.policy = create_policy(self.name, self.space, self.seed, warmup=0)
        self.waiting.clear()
        self.trials.clear()
        self.results.clear()

    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> dict[str, Any]:
        """The values of the next trial. Called by NNI when it has room for one."""
        assert self.policy is not None
        assert self.space is not None
        if not self.waiting:
            self.waiting.extend((self.generations, a) for a in self.policy.ask(self.population))
            self.results[self.generations] = []
            self.generations += 1
        self.trials[parameter_id] = drawn = self.waiting.popleft()
        return {name: self.space.option(name, drawn[1]) for name in self.space}

    def receive_trial_result(self, parameter_id: int, parameters: Any, value: Any, **kwargs: Any) -> None:
        """Called by NNI with a trial's final result: a number, or an object with one as ``default``."""
        try:
            reward = self.sign * float(value["default"] if isinstance(value, dict) else value)
        except (KeyError, TypeError, ValueError):  # not a number: as if there were no result
            reward = math.nan
        self._finished(parameter_id, reward)

    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        """Called by NNI when a trial's process has ended."""
        self._finished(parameter_id, math.nan)

    def _finished(self, parameter_id: int, reward: float) -> None:
        if self.policy is None or parameter_id not in self.trials:  # its result came before its end; or not ours
            return
        generation, assignment = self.trials.pop(parameter_id)
        self.results[generation].append((assignment, reward))
        if len(self.results[generation]) == self.population:
            told = self.results.pop(generation)
            self.policy.tell([a for a, _ in told], [r for _, r in told])
