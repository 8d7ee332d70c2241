import numpy as np
import pytest

from autofr import Choice, SearchSpace, load_space
from autofr.losses import ArcFace
from autofr.policies import Exp3, Policy
from autofr.testing import PolicyContract, RangePolicyContract

MARGINS = load_space("arcface_margins")


class TestExp3(PolicyContract):
    floor = 0.5 / 3  # gamma/K
    warmup = 2

    def make(self, space: SearchSpace, seed: int) -> Policy:
        return Exp3(space, seed)


class TestExp3Range(RangePolicyContract):
    def make(self, space: SearchSpace, seed: int) -> Policy:
        return Exp3(space, seed)


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_best_option_of_a_clear_reward(seed: int) -> None:
    policy, rng = Exp3(MARGINS, seed, warmup=0), np.random.default_rng(seed)
    for _ in range(300):
        drawn = policy.ask(4)
        policy.tell(drawn, [-abs(a["loss"] - 6) + rng.normal(0, 0.1) for a in drawn])
    assert policy.alpha()["loss"].argmax() in (5, 6, 7)
    assert policy.alpha()["loss"].max() > 2 / 9


def test_its_step_is_auer_s() -> None:
    policy = Exp3(SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.2, 0.3))), gamma=0.3, warmup=0)
    policy.tell([{"loss": 1}, {"loss": 2}], [-0.2, -0.6])
    # The better reward is scaled to 1 and the worse to 0; α was 1/3; two members share the step.
    np.testing.assert_allclose(policy.log_weights["loss"], [0, 0.3 / 3 * 1 / (1 / 3) / 2, 0])
