import numpy as np
import pytest

from autofr import Choice, SearchSpace, load_space
from autofr.losses import ArcFace
from autofr.policies import Policy, Thompson
from autofr.policies.thompson import probability_of_best
from autofr.testing import PolicyContract, RangePolicyContract

MARGINS = load_space("arcface_margins")


class TestThompson(PolicyContract):
    floor = 0.02
    warmup = 2

    def make(self, space: SearchSpace, seed: int) -> Policy:
        return Thompson(space, seed)


class TestThompsonRange(RangePolicyContract):
    def make(self, space: SearchSpace, seed: int) -> Policy:
        return Thompson(space, seed, floor=0, memory=1, reach=0, replacement=False)


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_best_option_of_a_clear_reward(seed: int) -> None:
    policy, rng = Thompson(MARGINS, seed, warmup=0), np.random.default_rng(seed)
    for _ in range(100):
        drawn = policy.ask(4)
        policy.tell(drawn, [-abs(a["loss"] - 6) + rng.normal(0, 0.3) for a in drawn])
    assert policy.alpha()["loss"].argmax() in (5, 6, 7)


def test_the_probability_to_be_the_best_is_that_of_draws() -> None:
    mean, deviations = np.array([0.0, 0.3, -0.2, 0.1]), np.array([1.0, 0.2, 2.0, 0.5])
    correlations = np.array([[1, 0.8, 0, 0.2], [0.8, 1, 0.1, 0], [0, 0.1, 1, -0.5], [0.2, 0, -0.5, 1]])
    covariance = correlations * deviations * deviations[:, None]
    drawn = np.random.default_rng(0).multivariate_normal(mean, covariance, 200_000).argmax(1)
    np.testing.assert_allclose(probability_of_best(mean, covariance), np.bincount(drawn) / 200_000, atol=0.012)
    np.testing.assert_allclose(probability_of_best(np.zeros(2), np.diag([1.0, 25.0])), 0.5, atol=0.01)
    far = probability_of_best(np.array([0.0, 1000.0]), np.eye(2))
    assert far[0] > 0
    np.testing.assert_allclose(far, [0, 1], atol=1e-3)


@pytest.mark.parametrize("reach", [0.0, 0.2, 0.5, 5.0])
def test_before_anything_is_known_every_option_is_as_likely_the_best(reach: float) -> None:
    """Of the normal belief alone, the ends of a line would be."""
    np.testing.assert_allclose(Thompson(MARGINS, reach=reach).alpha()["loss"], 1 / 9, rtol=1e-12)


def test_beliefs_are_those_of_a_gaussian_process_that_sees_differences() -> None:
    """Against the textbook's formula, every generation's level an unknown of its own with an all but flat prior."""
    rng, levels = np.random.default_rng(3), 1e6
    policy = Thompson(MARGINS, memory=1, reach=0.4, warmup=0)
    drawn = [[0, 3, 4, 8], [1, 2, 2, 7], [5, 6, 0, 1]]
    rewards = [rng.normal(0, 1, 4) for _ in drawn]
    rewards[1][2] = rewards[1][1]  # the same option: the same reward
    unit, seen, generation, worth = 0.0, [], [], []
    for g, (options, told) in enumerate(zip(drawn, rewards, strict=True)):
        policy.tell([{"loss": k} for k in options], told.tolist())
        unit = told.std() if not unit else 0.7 * unit + 0.3 * told.std()
        for k in sorted(set(options)):
            seen.append(k)
            generation.append(g)
            worth.append(told[options.index(k)] / unit)
    at = np.linspace(0, 1, 9)
    prior = np.exp(-0.5 * ((at[:, None] - at) / 0.4) ** 2)
    same = np.equal.outer(generation, generation)
    covariance = prior[np.ix_(seen, seen)] + levels * same + np.eye(len(seen))
    gain = prior[:, seen] @ np.linalg.inv(covariance)
    mean, spread = policy.beliefs("loss")
    np.testing.assert_allclose(mean, gain @ np.array(worth), atol=1e-4)
    np.testing.assert_allclose(spread, prior - gain @ prior[seen], atol=1e-4)


def test_what_is_learned_of_a_margin_counts_for_its_neighbours() -> None:
    told = [{"loss": 0}, {"loss": 4}], [-0.3, -0.1]
    alone, near = Thompson(MARGINS, reach=0, warmup=0), Thompson(MARGINS, warmup=0)
    for policy in (alone, near):
        policy.tell(*told)
    p, q = alone.alpha()["loss"], near.alpha()["loss"]
    np.testing.assert_allclose(p[[1, 2, 3, 5, 6, 7, 8]], p[1], rtol=0.1)
    assert q[5] > q[1] * 1.5  # beside the better one, beside the worse one


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
    assert abs(policy.weighted["loss"][2]) < 0.01


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
