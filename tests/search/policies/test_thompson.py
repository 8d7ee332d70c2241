import numpy as np
import pytest

from autofr import Choice, SearchSpace
from autofr.losses import ArcFace
from autofr.search.policies import Policy, Thompson
from autofr.search.policies.thompson import probability_of_best
from autofr.testing import PolicyContract

MARGINS = SearchSpace(loss=Choice(ArcFace(m / 100) for m in range(5, 50, 5)))


class TestThompson(PolicyContract):
    floor = 0.02

    def make(self, space: SearchSpace, seed: int) -> Policy:
        return Thompson(space, seed)


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


def test_it_follows_an_optimum_that_moves() -> None:
    policy = Thompson(MARGINS, 0, memory=0.8, warmup=0)
    for best in (1, 7):
        for _ in range(60):
            drawn = policy.ask(4)
            policy.tell(drawn, [-abs(a["loss"] - best) for a in drawn])
        assert abs(int(policy.alpha()["loss"].argmax()) - best) <= 1
