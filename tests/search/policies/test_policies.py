import numpy as np
import pytest

from autofr import AutofrError, Choice, SearchSpace
from autofr.losses import ArcFace
from autofr.search.policies import LFS, Fixed, Policy, Random, create_policy
from autofr.search.policies.base import worst_for_nan
from autofr.testing import PolicyContract

MARGINS = SearchSpace(loss=Choice(ArcFace(m / 100) for m in range(5, 50, 5)))


class TestLFS(PolicyContract):
    def make(self, space: SearchSpace, seed: int) -> Policy:
        return LFS(space, seed)


class TestRandom(PolicyContract):
    def make(self, space: SearchSpace, seed: int) -> Policy:
        return Random(space, seed)


class TestFixed(PolicyContract):
    def make(self, space: SearchSpace, seed: int) -> Policy:
        return Fixed(space, seed)

    def space(self) -> SearchSpace:
        return SearchSpace(loss=Choice(ArcFace(0.3)))


def test_lfs_starts_equal_and_learns_nothing_during_its_warmup() -> None:
    policy = LFS(MARGINS, warmup=2)
    for _ in range(2):
        policy.tell([{"loss": 0}, {"loss": 1}], [-0.1, -0.9])
        np.testing.assert_allclose(policy.alpha()["loss"], 1 / 9)
    policy.tell([{"loss": 0}, {"loss": 1}], [-0.1, -0.9])
    assert policy.alpha()["loss"][0] > 1 / 9 > policy.alpha()["loss"][1]


@pytest.mark.parametrize("seed", range(5))
def test_lfs_finds_the_best_option_of_a_clear_reward(seed: int) -> None:
    policy = LFS(MARGINS, seed)
    rng = np.random.default_rng(seed)
    for _ in range(150):
        drawn = policy.ask(4)
        policy.tell(drawn, [-(((a["loss"] - 6) / 9) ** 2) + rng.normal(0, 0.01) for a in drawn])
    assert int(policy.alpha()["loss"].argmax()) in (5, 6, 7)
    assert policy.alpha()["loss"][6] > 2 / 9


def test_lfs_step_is_adam_on_the_reinforce_gradient() -> None:
    """Against finite differences of the mean of reward x log α, α recomputed here."""
    policy = LFS(MARGINS, warmup=0, lr=0.1, floor=0.02)
    drawn, rewards = [{"loss": 2}, {"loss": 5}, {"loss": 2}, {"loss": 8}], np.array([-0.3, -0.5, -0.35, -0.6])
    normal = 2 * (rewards - rewards.mean()) / (rewards.max() - rewards.min() + 1e-6)

    def objective(logits: np.ndarray) -> float:
        soft = np.exp(logits) / np.exp(logits).sum()
        alpha = 0.02 + (1 - 9 * 0.02) * soft
        return float(np.mean([r * np.log(alpha[a["loss"]]) for r, a in zip(normal, drawn, strict=True)]))

    gradient = [(objective(1e-6 * e) - objective(-1e-6 * e)) / 2e-6 for e in np.eye(9)]
    policy.tell(drawn, rewards.tolist())
    # Adam's first step is lr x sign, whatever the size.
    np.testing.assert_allclose(policy.first["loss"] / 0.5, gradient, rtol=1e-6, atol=1e-9)
    moved = np.abs(gradient) > 1e-6
    assert moved.sum() == 3
    np.testing.assert_allclose(policy.logits["loss"], np.where(moved, 0.1 * np.sign(gradient), 0), atol=1e-5)


def test_lfs_keeps_its_floor_under_the_hardest_pressure() -> None:
    policy = LFS(MARGINS, floor=0.03)
    for _ in range(500):
        policy.tell([{"loss": 0}, {"loss": 1}], [0.0, -1.0])
    assert policy.alpha()["loss"].min() >= 0.03 * (1 - 1e-9)


def test_an_option_that_always_diverges_is_left() -> None:
    policy = LFS(SearchSpace(loss=Choice(ArcFace(0.1), ArcFace(0.2))), warmup=0)
    for _ in range(30):
        policy.tell([{"loss": 0}, {"loss": 1}], [-0.5, float("nan")])
    assert policy.alpha()["loss"][1] < 0.1


def test_fixed_refuses_several_options() -> None:
    with pytest.raises(AutofrError, match="trains one option"):
        Fixed(MARGINS)


def test_an_unknown_policy_is_told_the_near_ones() -> None:
    with pytest.raises(AutofrError, match="unknown policy 'lsf'; did you mean lfs"):
        create_policy("lsf", MARGINS, 0)


def test_diverged_members_count_as_the_worst() -> None:
    assert worst_for_nan([-0.25, float("nan"), -0.75]).tolist() == [-0.25, -1.25, -0.75]
    assert worst_for_nan([float("nan"), -0.5]).tolist() == [-1.5, -0.5]
    assert worst_for_nan([float("nan"), float("inf")]).tolist() == [0.0, 0.0]
