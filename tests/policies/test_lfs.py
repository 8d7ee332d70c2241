from itertools import combinations

import numpy as np
import pytest

from autofr import Choice, SearchSpace, load_space
from autofr.losses import ArcFace
from autofr.policies import LFS, Policy
from autofr.policies.without_replacement import set_probability
from autofr.testing import PolicyContract, RangePolicyContract

MARGINS = load_space("arcface_margins")


class TestLFS(PolicyContract):
    floor = 0.02
    warmup = 2

    def make(self, space: SearchSpace, seed: int) -> Policy:
        return LFS(space, seed)


class TestLFSWithoutReplacementMovingBaseline(PolicyContract):
    floor = 0.05

    def make(self, space: SearchSpace, seed: int) -> Policy:
        return LFS(space, seed, floor=0.05, temperature=0.5, replacement=False)


class TestLFSRange(RangePolicyContract):
    def make(self, space: SearchSpace, seed: int) -> Policy:
        return LFS(space, seed)


def test_it_starts_equal_and_learns_nothing_during_its_warmup() -> None:
    policy = LFS(MARGINS, warmup=2)
    for _ in range(2):
        policy.tell([{"loss": 0}, {"loss": 1}], [-0.1, -0.9])
        np.testing.assert_allclose(policy.alpha()["loss"], 1 / 9)
    policy.tell([{"loss": 0}, {"loss": 1}], [-0.1, -0.9])
    assert policy.alpha()["loss"][0] > 1 / 9 > policy.alpha()["loss"][1]


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_it_finds_the_best_option_of_a_clear_reward(seed: int, replacement: bool) -> None:
    policy = LFS(MARGINS, seed, lr=0.2, replacement=replacement)
    rng = np.random.default_rng(seed)
    for _ in range(150):
        drawn = policy.ask(4)
        policy.tell(drawn, [-(((a["loss"] - 6) / 9) ** 2) + rng.normal(0, 0.01) for a in drawn])
    assert int(policy.alpha()["loss"].argmax()) in (5, 6, 7)
    assert policy.alpha()["loss"][6] > 2 / 9


def test_dimensions_learn_apart() -> None:
    """The reward depends on both; each finds its own best option."""
    space = SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.2, 0.3)), backbone=Choice("ir_mini", "ir18", "ir34"))
    policy = LFS(space, lr=0.2, warmup=0)
    for _ in range(120):
        drawn = policy.ask(4)
        policy.tell(drawn, [-abs(a["loss"] - 2) - 0.5 * abs(a["backbone"] - 0) for a in drawn])
    assert policy.alpha()["loss"].argmax() == 2
    assert policy.alpha()["backbone"].argmax() == 0


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_its_step_is_adam_on_the_reinforce_gradient(temperature: float) -> None:
    """Against finite differences of the mean of reward x log α, α recomputed here."""
    policy = LFS(MARGINS, warmup=0, lr=0.1, floor=0.02, temperature=temperature, replacement=True)
    drawn, rewards = [{"loss": 2}, {"loss": 5}, {"loss": 2}, {"loss": 8}], np.array([-0.3, -0.5, -0.35, -0.6])
    normal = 2 * (rewards - rewards.mean()) / (rewards.max() - rewards.min() + 1e-6)

    def objective(theta: np.ndarray) -> float:
        soft = np.exp(theta / temperature) / np.exp(theta / temperature).sum()
        alpha = 0.02 + (1 - 9 * 0.02) * soft
        return float(np.mean([r * np.log(alpha[a["loss"]]) for r, a in zip(normal, drawn, strict=True)]))

    gradient = [(objective(1e-6 * e) - objective(-1e-6 * e)) / 2e-6 for e in np.eye(9)]
    policy.tell(drawn, rewards.tolist())
    # Adam's first step is lr x sign, whatever the size.
    np.testing.assert_allclose(policy.first["loss"] / 0.5, gradient, rtol=1e-6, atol=1e-9)
    moved = np.abs(gradient) > 1e-6
    assert moved.sum() == 3
    np.testing.assert_allclose(policy.theta["loss"], np.where(moved, 0.1 * np.sign(gradient), 0), atol=1e-5)


def test_without_replacement_the_estimate_is_unbiased() -> None:
    """Over every set of 3 of 5 options that may be drawn, the gradient averages to the exact one."""
    space = SearchSpace(loss=Choice(ArcFace(m / 10) for m in range(5)))
    policy = LFS(space, replacement=False)
    policy.theta["loss"] = np.array([1.0, 0.5, 0.0, -0.5, -1.0])
    worth, alpha = np.array([0.3, -1.0, 2.0, 0.7, -0.4]), policy.alpha()["loss"]
    mean = np.zeros(5)
    for options in combinations(range(5), 3):
        mean += set_probability(alpha, options) * policy._gradient("loss", options, worth[list(options)])

    def expected(theta: np.ndarray) -> float:
        return float((0.02 + (1 - 5 * 0.02) * np.exp(theta) / np.exp(theta).sum()) @ worth)

    theta = policy.theta["loss"]
    exact = [(expected(theta + 1e-6 * e) - expected(theta - 1e-6 * e)) / 2e-6 for e in np.eye(5)]
    np.testing.assert_allclose(mean, exact, rtol=1e-6, atol=1e-9)


def test_with_every_option_drawn_the_gradient_is_exact() -> None:
    """Nine members without replacement: no estimate is left, it is Σ α_k·A_k·∇ log α_k."""
    policy = LFS(MARGINS, warmup=0, replacement=False)
    policy.theta["loss"] = np.linspace(-1, 1, 9)
    rewards = np.sin(np.arange(9.0))
    advantages = 2 * (rewards - rewards.mean()) / (np.ptp(rewards) + 1e-6)

    def expected(theta: np.ndarray) -> float:
        soft = np.exp(theta) / np.exp(theta).sum()
        return float((0.02 + (1 - 9 * 0.02) * soft) @ advantages)

    gradient = [(expected(policy.theta["loss"] + 1e-6 * e) - expected(policy.theta["loss"] - 1e-6 * e)) / 2e-6
                for e in np.eye(9)]  # fmt: skip
    policy.tell([{"loss": k} for k in range(9)], rewards.tolist())
    np.testing.assert_allclose(policy.first["loss"] / 0.5, gradient, rtol=1e-5, atol=1e-9)


def test_it_keeps_its_floor_under_the_hardest_pressure() -> None:
    policy = LFS(MARGINS, floor=0.03)
    for _ in range(500):
        policy.tell([{"loss": 0}, {"loss": 1}], [0.0, -1.0])
    assert policy.alpha()["loss"].min() >= 0.03 * (1 - 1e-9)


def test_a_lower_temperature_is_sharper() -> None:
    sharp, blunt = LFS(MARGINS, temperature=0.5), LFS(MARGINS, temperature=2.0)
    for policy in (sharp, blunt):
        policy.theta["loss"] = np.arange(9.0) / 9
    assert sharp.alpha()["loss"][8] > blunt.alpha()["loss"][8]


def test_an_option_that_always_diverges_is_left() -> None:
    policy = LFS(SearchSpace(loss=Choice(ArcFace(0.1), ArcFace(0.2))), lr=0.2, warmup=0)
    for _ in range(30):
        policy.tell([{"loss": 0}, {"loss": 1}], [-0.5, float("nan")])
    assert policy.alpha()["loss"][1] < 0.1
