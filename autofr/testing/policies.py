"""What every policy keeps to."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from autofr.losses import ArcFace
from autofr.search.policies import Policy
from autofr.spaces import Assignment, Choice, SearchSpace


class PolicyContract:
    """Inherit it in a test class and give :meth:`make`::

    class TestMyPolicy(PolicyContract):
        def make(self, space, seed):
            return MyPolicy(space, seed)
    """

    def make(self, space: SearchSpace, seed: int) -> Policy:
        """A fresh policy."""
        raise NotImplementedError

    def space(self) -> SearchSpace:
        """A space that the policy can serve."""
        return SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.2, 0.3)), backbone=Choice("ir_mini", "ir18"))

    def _rewards(self, assignments: list[Assignment]) -> list[float]:
        return [-0.5 + 0.1 * a["loss"] for a in assignments]

    def _play(self, policy: Policy, generations: int) -> list[list[Assignment]]:
        asked = []
        for _ in range(generations):
            asked.append(policy.ask(4))
            policy.tell(asked[-1], self._rewards(asked[-1]))
        return asked

    def _check_alpha(self, policy: Policy) -> None:
        alpha = policy.alpha()
        assert list(alpha) == list(self.space())
        for name, p in alpha.items():
            assert len(p) == len(self.space().dimensions[name])
            assert (p > 0).all()
            assert math.isclose(p.sum(), 1, abs_tol=1e-9)

    def test_asks_for_valid_options(self) -> None:
        for assignment in self.make(self.space(), 0).ask(20):
            assert {n: 0 <= i < len(self.space().dimensions[n]) for n, i in assignment.items()} == dict.fromkeys(
                self.space(), True
            )

    def test_alpha_is_a_distribution_and_no_option_dies(self) -> None:
        policy = self.make(self.space(), 0)
        self._check_alpha(policy)
        for _ in range(100):
            self._play(policy, 1)
            self._check_alpha(policy)

    @pytest.mark.parametrize("rewards", [[math.nan] * 4, [math.nan, -0.5, -0.4, math.nan], [-0.5] * 4, [0, -1e9, 1, 2]])
    def test_odd_rewards_leave_it_sound(self, rewards: list[float]) -> None:
        policy = self.make(self.space(), 0)
        for _ in range(5):
            policy.tell(policy.ask(4), rewards)
            self._check_alpha(policy)

    def test_the_same_seed_and_rewards_give_the_same_draws(self) -> None:
        assert self._play(self.make(self.space(), 3), 10) == self._play(self.make(self.space(), 3), 10)

    @pytest.mark.parametrize("played", [0, 1, 7])
    def test_state_goes_through_json_at_any_point(self, played: int) -> None:
        first, second = self.make(self.space(), 0), self.make(self.space(), 99)
        self._play(first, played)
        second.load(json.loads(json.dumps(first.state())))
        assert self._play(first, 5) == self._play(second, 5)
        for name, p in first.alpha().items():
            np.testing.assert_array_equal(p, second.alpha()[name])

    def test_asking_again_without_telling_is_allowed(self) -> None:
        policy = self.make(self.space(), 0)
        policy.ask(4)
        self._play(policy, 2)
        self._check_alpha(policy)

    def test_an_unknown_option_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no valid option"):
            self.make(self.space(), 0).tell([dict.fromkeys(self.space(), 99)], [-0.5])

    def test_a_single_option_has_all_of_alpha(self) -> None:
        policy = self.make(SearchSpace(loss=Choice(ArcFace(0.3))), 0)
        for _ in range(5):
            assignments = policy.ask(4)
            assert assignments == [{"loss": 0}] * 4
            policy.tell(assignments, [-0.1, -0.2, -0.3, -0.4])
        assert policy.alpha()["loss"].tolist() == [1.0]
