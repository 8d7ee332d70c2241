"""What every policy keeps to."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from autofr.losses import ArcFace
from autofr.policies import Policy
from autofr.space.dimensions import Choice, Range
from autofr.space.space import Assignment, SearchSpace


class PolicyContract:
    """Inherit it in a test class and give :meth:`make`::

    class TestMyPolicy(PolicyContract):
        floor = 0.01

        def make(self, space, seed):
            return MyPolicy(space, seed)

    Attributes:
        floor: the least α that the policy promises each of three options.
        draws: whether it draws at all, and so differs with the seed.
        warmup: how many generations at the start :meth:`make`'s policies do not learn from, if that is known.
    """

    floor = 0.0
    draws = True
    warmup: int | None = None

    def make(self, space: SearchSpace, seed: int) -> Policy:
        """A fresh policy."""
        raise NotImplementedError

    def space(self) -> SearchSpace:
        """A space that the policy can serve."""
        return SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.2, 0.3)), backbone=Choice("ir_mini", "ir18"))

    def narrow(self) -> SearchSpace:
        """A space that the policy can serve, with a single place in α."""
        return SearchSpace(loss=Choice(ArcFace(0.3)))

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
            assert p.min() >= min(self.floor, 1 / len(p)) * (1 - 1e-9)
            assert math.isclose(p.sum(), 1, abs_tol=1e-9)

    @pytest.mark.parametrize("members", [1, 4, 20])
    def test_asks_for_valid_options(self, members: int) -> None:
        asked = self.make(self.space(), 0).ask(members)
        assert len(asked) == members
        for assignment in asked:
            assert list(assignment) == list(self.space())
            for name, value in assignment.items():
                self.space().dimensions[name].index(value)
        assert json.loads(json.dumps(asked)) == asked

    def test_alpha_is_a_distribution_and_no_option_dies(self) -> None:
        policy = self.make(self.space(), 0)
        self._check_alpha(policy)
        for _ in range(100):
            self._play(policy, 1)
            self._check_alpha(policy)

    @pytest.mark.parametrize(
        "rewards",
        [[math.nan] * 4, [math.nan, -0.5, -0.4, None], [None, None, None, -0.5], [-0.5] * 4, [0, -1e9, 1, math.inf]],
    )
    def test_odd_and_missing_rewards_leave_it_sound(self, rewards: list[Any]) -> None:
        policy = self.make(self.space(), 0)
        for _ in range(5):
            policy.tell(policy.ask(4), rewards)
            self._check_alpha(policy)
        self._play(policy, 2)
        self._check_alpha(policy)

    def test_a_generation_without_any_reward_moves_nothing(self) -> None:
        policy = self.make(self.space(), 0)
        self._play(policy, 5)
        asked = policy.ask(4)
        before = policy.alpha()
        for missing in (None, math.nan):
            policy.tell(asked, [missing] * 4)
            for name, p in policy.alpha().items():
                np.testing.assert_array_equal(p, before[name])

    def test_the_warm_up_is_sat_out(self) -> None:
        if self.warmup is None:
            pytest.skip("nothing is said of a warm-up")
        policy, other = self.make(self.space(), 0), self.make(self.space(), 0)
        for generation in range(self.warmup + 1):
            asked = policy.ask(4)
            assert asked == other.ask(4)
            told = [{**a, "loss": b["loss"]} for a, b in zip(asked, reversed(asked), strict=True)]
            policy.tell(asked, self._rewards(asked))
            other.tell(asked, [-r for r in self._rewards(told)])
            same = all((p == other.alpha()[name]).all() for name, p in policy.alpha().items())
            if generation < self.warmup:
                assert same, "the two were told otherwise during the warm-up, and it moved them"

    def test_another_seed_draws_otherwise(self) -> None:
        if not self.draws:
            pytest.skip("it does not draw")
        assert self._play(self.make(self.space(), 3), 5) != self._play(self.make(self.space(), 4), 5)

    def test_the_same_seed_and_rewards_give_the_same_draws(self) -> None:
        assert self._play(self.make(self.space(), 3), 10) == self._play(self.make(self.space(), 3), 10)

    @pytest.mark.parametrize("asked", [False, True])
    @pytest.mark.parametrize("played", [0, 1, 7])
    def test_state_goes_through_json_at_any_point(self, played: int, asked: bool) -> None:
        first, second = self.make(self.space(), 0), self.make(self.space(), 0)
        self._play(second, 3)  # what it knew before is gone
        self._play(first, played)
        between = first.ask(4) if asked else []
        second.load(json.loads(json.dumps(first.state())))
        if asked:
            for policy in (first, second):
                policy.tell(between, self._rewards(between))
        assert self._play(first, 5) == self._play(second, 5)
        for name, p in first.alpha().items():
            np.testing.assert_array_equal(p, second.alpha()[name])

    def test_a_state_is_not_changed_by_what_follows(self) -> None:
        policy = self.make(self.space(), 0)
        self._play(policy, 3)
        state = policy.state()
        before = json.dumps(state)
        self._play(policy, 3)
        assert json.dumps(state) == before

    def test_draws_only_what_the_space_allows(self) -> None:
        space = self.space()
        if not space.architecture:
            pytest.skip("the space has one network")
        budgeted = space.within([next(space.architectures())])
        policy = self.make(budgeted, 0)
        assert all(budgeted.allows(a) for generation in self._play(policy, 10) for a in generation)
        policy.load(json.loads(json.dumps(policy.state())))
        assert all(budgeted.allows(a) for generation in self._play(policy, 2) for a in generation)

    def test_asking_again_without_telling_is_allowed(self) -> None:
        policy = self.make(self.space(), 0)
        policy.ask(4)
        self._play(policy, 2)
        self._check_alpha(policy)

    def test_telling_what_was_not_asked_is_allowed(self) -> None:
        policy = self.make(self.space(), 0)
        told = self.make(self.space(), 5).ask(4)
        for _ in range(5):
            policy.tell(told, self._rewards(told))
        self._check_alpha(policy)
        self._play(policy, 2)

    def test_an_unknown_option_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no valid option"):
            self.make(self.space(), 0).tell([dict.fromkeys(self.space(), 99)], [-0.5])
        with pytest.raises(ValueError, match="no valid option"):
            self.make(self.space(), 0).tell([{}], [-0.5])

    def test_rewards_that_do_not_belong_are_refused_and_nothing_changes(self) -> None:
        policy = self.make(self.space(), 0)
        asked = policy.ask(4)
        before = json.dumps(policy.state())
        with pytest.raises(ValueError, match="4 assignments but 3 rewards"):
            policy.tell(asked, [-0.1, -0.2, -0.3])
        assert json.dumps(policy.state()) == before

    def test_a_single_option_has_all_of_alpha(self) -> None:
        space = self.narrow()
        policy = self.make(space, 0)
        for _ in range(5):
            assignments = policy.ask(4)
            assert [space.dimensions["loss"].index(a["loss"]) for a in assignments] == [0] * 4
            policy.tell(assignments, [-0.1, -0.2, -0.3, -0.4])
        assert policy.alpha()["loss"].tolist() == [1.0]


class RangePolicyContract(PolicyContract):
    """The same, on a space with a parameter between bounds."""

    def space(self) -> SearchSpace:
        """ArcFace's margin anywhere from 0.1 to 0.4, told in three bins."""
        return SearchSpace(loss=Range(ArcFace, bins=3, m=(0.1, 0.4)), backbone=Choice("ir_mini", "ir18"))

    def narrow(self) -> SearchSpace:
        """The same in one bin."""
        return SearchSpace(loss=Range(ArcFace, bins=1, m=(0.1, 0.4)))
