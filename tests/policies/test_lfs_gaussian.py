import math

import numpy as np
import pytest

from autofr import Choice, SearchSpace
from autofr.losses import ArcFace, LFSSoftmax
from autofr.policies import LFSGaussian, Policy
from autofr.space.dimensions import Range
from autofr.testing import RangePolicyContract

SPACE = SearchSpace(loss=Range(ArcFace, bins=10, m=(0.0, 0.5)))


class TestLFSGaussian(RangePolicyContract):
    floor = 0.02

    def make(self, space: SearchSpace, seed: int) -> Policy:
        return LFSGaussian(space, seed)


@pytest.mark.parametrize("best", [0.08, 0.25, 0.41])
def test_it_learns_where_the_published_update_stands_still(best: float) -> None:
    """On one known reward surface: ours ends up drawing around its best margin; the published mean never leaves 0."""
    policy, rng = LFSGaussian(SPACE, seed=1, floor=0, warmup=0), np.random.default_rng(1)
    for _ in range(100):
        drawn = policy.ask(4)
        policy.tell(drawn, [-((a["loss"] - best) ** 2) + rng.normal(0, 0.002) for a in drawn])
    # The mean of the draws, not θ: near a bound, θ lies beyond what truncation makes of it.
    assert np.mean([a["loss"] for a in policy.ask(1000)]) == pytest.approx(best, abs=0.05)

    def published(mean: float) -> float:
        """The mean after 100 generations of the published code's update, from ``mean``."""
        moment = square = 0.0
        for step in range(1, 101):
            centre, slope = max(mean, 0.0), float(mean > 0)  # ReLU, whose slope at 0 is 0
            samples = np.maximum(rng.normal(centre, 0.2, 4), 0)  # folded ...
            rewards = -((0.5 * samples - best) ** 2)
            rewards = 2 * (rewards - rewards.mean()) / (np.ptp(rewards) + 1e-6)
            scores = (samples - centre) / 0.2**2 * slope  # ... and scored under the density that is not
            gradient = float(np.mean(rewards * scores))
            moment, square = 0.5 * moment + 0.5 * gradient, 0.999 * square + 0.001 * gradient**2
            mean += 0.05 * (moment / (1 - 0.5**step)) / (math.sqrt(square / (1 - 0.999**step)) + 1e-8)
        return mean

    assert published(0.0) == 0  # where it starts
    assert published(0.5) != 0.5  # it is the start that holds it: elsewhere the same update moves


@pytest.mark.parametrize("mean", [0.0, 0.3, 0.5, 1.0])
def test_what_is_drawn_has_the_density_that_is_scored(mean: float) -> None:
    policy = LFSGaussian(SPACE, seed=0, floor=0.03)
    policy.theta["loss"] = np.array([mean])
    drawn = np.array([a["loss"] / 0.5 for a in policy.ask(40000)])
    assert 0 <= drawn.min() <= drawn.max() <= 1
    counts, edges = np.histogram(drawn, bins=10, range=(0, 1))
    alpha = policy.alpha()["loss"]
    for k in range(10):
        grid = np.linspace(edges[k], edges[k + 1], 401)
        values = [policy.density("loss", float(x)) for x in grid]
        mass = float(np.sum((np.array(values)[1:] + np.array(values)[:-1]) / 2) * (grid[1] - grid[0]))
        assert alpha[k] == pytest.approx(mass, rel=1e-4)  # α is the density's mass
        assert counts[k] / 40000 == pytest.approx(mass, abs=5 * math.sqrt(mass / 40000))


@pytest.mark.parametrize("mean", [0.0, 0.2, 0.9])
@pytest.mark.parametrize("x", [0.0, 0.35, 1.0])
def test_the_score_is_the_density_s_slope(mean: float, x: float) -> None:
    policy = LFSGaussian(SPACE)

    def log_density(value: float) -> float:
        policy.theta["loss"] = np.array([value])
        return math.log(policy.density("loss", x))

    slope = (log_density(mean + 1e-6) - log_density(mean - 1e-6)) / 2e-6
    policy.theta["loss"] = np.array([mean])
    assert policy.score("loss", x) == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_a_deviation_out_of_range_is_refused() -> None:
    for sigma in (0.0, 1e-200, 11.0):
        with pytest.raises(ValueError, match="share of the range"):
            LFSGaussian(SPACE, sigma=sigma)


def test_options_beside_a_range_are_learned_too() -> None:
    space = SearchSpace(loss=Range(LFSSoftmax, a=(-100, 0)), backbone=Choice("ir_mini", "ir18", "ir34"))
    policy = LFSGaussian(space, lr=0.1, warmup=0)
    for _ in range(80):
        drawn = policy.ask(4)
        policy.tell(drawn, [-abs(a["loss"] + 20) / 100 - 0.3 * abs(a["backbone"] - 1) for a in drawn])
    assert policy.alpha()["backbone"].argmax() == 1
    assert -50 < -100 + 100 * float(policy.theta["loss"][0]) < 0


def test_a_mean_at_the_edge_stays_within_and_comes_back() -> None:
    policy = LFSGaussian(SPACE, warmup=0)
    for target in (0.0, 0.5):
        for _ in range(60):
            drawn = policy.ask(4)
            policy.tell(drawn, [-abs(a["loss"] - target) for a in drawn])
            assert 0 <= float(policy.theta["loss"][0]) <= 1
        assert abs(0.5 * float(policy.theta["loss"][0]) - target) < 0.15
