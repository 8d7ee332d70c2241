import numpy as np
import pytest

from autofr import Choice, SearchSpace, load_space
from autofr.losses import ArcFace
from autofr.search.policies import Policy, Thompson
from autofr.search.policies.thompson import probability_of_best
from autofr.testing import PolicyContract, RangePolicyContract

MARGINS = load_space("arcface_margins")


class TestThompson(PolicyContract):
    floor = 0.02
    warmup = 2

    def make(self, space: SearchSpace, seed: int) -> Policy:
        return Thompson(space, seed)


class TestThompsonRange(RangePolicyContract):
    def make(self, space: SearchSpace, seed: int) -> Policy:
        return Thompson(space, seed, floor=0, memory=1, replacement=False)


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_best_option_of_a_clear_reward(seed: int) -> None:
    policy, rng = Thompson(MARGINS, seed, warmup=0), np.random.default_rng(seed)
    for _ in range(100):
        drawn = policy.ask(4)
        policy.tell(drawn, [-abs(a["loss"] - 6) + rng.normal(0, 0.3) for a in drawn])
    assert policy.alpha()["loss"].argmax() in (5, 6, 7)


def test_alpha_is_the_share_of_draws_from_the_beliefs_in_which_an_option_is_best() -> None:
    means, deviations = np.array([0.0, 0.3, -0.2, 0.1]), np.array([1.0, 0.2, 2.0, 0.5])
    rng = np.random.default_rng(0)
    drawn = rng.normal(means, deviations, (200_000, 4)).argmax(1)
    np.testing.assert_allclose(probability_of_best(means, deviations), np.bincount(drawn) / 200_000, atol=0.005)
    np.testing.assert_allclose(probability_of_best(np.zeros(2), np.array([1.0, 5.0])), 0.5, atol=1e-6)


def test_what_it_knew_fades() -> None:
    """After an optimum has moved, a short memory is on the new one while a long memory still is on the old."""
    best = {}
    for memory in (0.7, 1.0):
        policy = Thompson(MARGINS, 0, memory=memory, warmup=0)
        for optimum, generations in ((1, 60), (7, 12)):
            for _ in range(generations):
                policy.tell([{"loss": k} for k in range(9)], [-abs(k - optimum) for k in range(9)])
        best[memory] = int(policy.alpha()["loss"].argmax())
    assert best[0.7] == 7
    assert best[1.0] < 5


def test_its_unit_is_a_moving_average() -> None:
    """A generation in which all did nearly the same does not count as much as one with clear differences."""
    policy = Thompson(MARGINS, warmup=0)
    for _ in range(5):
        policy.tell([{"loss": 0}, {"loss": 1}], [0.0, -1.0])
    policy.tell([{"loss": 2}, {"loss": 3}], [0.0, -0.001])
    assert abs(policy.sums["loss"][2]) < 0.01


def test_members_that_drew_the_same_count_once_and_alone_say_nothing() -> None:
    once, thrice = Thompson(MARGINS, warmup=0), Thompson(MARGINS, warmup=0)
    once.tell([{"loss": 4}, {"loss": 5}], [-0.2, -0.4])
    thrice.tell([{"loss": 4}] * 2 + [{"loss": 5}] * 2, [-0.2, -0.2, -0.4, -0.4])
    np.testing.assert_allclose(once.alpha()["loss"], thrice.alpha()["loss"])
    before = once.alpha()["loss"]
    for _ in range(20):
        once.tell([{"loss": 4}] * 4, [-0.1] * 4)
    np.testing.assert_array_equal(once.alpha()["loss"], before)


def test_a_dimension_in_which_all_drew_the_same_learns_nothing() -> None:
    space = SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.2, 0.3)), backbone=Choice("ir_mini", "ir18"))
    policy = Thompson(space, warmup=0)
    policy.tell([{"loss": 1, "backbone": 0}, {"loss": 1, "backbone": 1}], [-0.2, -0.4])
    np.testing.assert_allclose(policy.alpha()["loss"], 1 / 3)
    assert policy.alpha()["backbone"][0] > 0.5


def test_a_diverged_member_does_not_drown_the_others() -> None:
    """Rewards differ by thousandths; one generation has a single survivor, one has two that drew the same."""
    rng = np.random.default_rng(0)
    policy = Thompson(MARGINS, 0, warmup=0)
    for generation in range(24):
        drawn = policy.ask(4)
        rewards = [-0.5 - 0.002 * abs(a["loss"] - 6) + rng.normal(0, 0.001) for a in drawn]
        if generation == 4:
            rewards[1:] = [float("nan")] * 3
        policy.tell(drawn, rewards)
        assert policy.deviation < 0.02
    assert abs(int(policy.alpha()["loss"].argmax()) - 6) <= 1


def test_an_option_that_always_diverges_is_left() -> None:
    policy = Thompson(SearchSpace(loss=Choice(ArcFace(0.1), ArcFace(0.2))), warmup=0)
    for _ in range(10):
        policy.tell([{"loss": 0}, {"loss": 1}], [-0.5, None])
    assert policy.alpha()["loss"][1] < 0.1
