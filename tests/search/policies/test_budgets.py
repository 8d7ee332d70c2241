"""Policies over architectures within budgets: what they draw, and what they learn from it."""

import itertools
from typing import Any

import numpy as np
import pytest

from autofr import Choice, Elastic, SearchSpace
from autofr.losses import ArcFace
from autofr.search.policies import LFS, Exp3, Random, Thompson, create_policy
from autofr.search.policies.base import CategoricalPolicy

SPACE = SearchSpace(
    loss=Choice(ArcFace(m) for m in (0.1, 0.2, 0.3)),
    backbone=Elastic("iresnet", depth=("1-1-1-1", "2-2-2-2"), width=(0.25, 0.5, 1.0)),
)
ALLOWED = [(0, 0), (0, 1), (0, 2), (1, 0)]
WITHIN = SPACE.within(ALLOWED)
NAMES = ("exp3", "lfs", "lfs:replacement=False", "random", "thompson", "thompson:replacement=False")
OPTUNA = ("optuna:TPESampler", "optuna:RandomSampler", "optuna:GridSampler", "optuna:NSGAIISampler")


def architecture(assignment: dict[str, Any]) -> tuple[int, ...]:
    return assignment["depth"], assignment["width"]


@pytest.mark.parametrize("name", [*NAMES, *OPTUNA])
def test_nothing_else_is_drawn_and_all_of_it_is(name: str) -> None:
    policy = create_policy(name, WITHIN, 0)
    drawn = set()
    for _ in range(25):
        asked = policy.ask(4)
        drawn |= {architecture(a) for a in asked}
        policy.tell(asked, [-0.1 * a["loss"] for a in asked])
    assert drawn == set(ALLOWED)


@pytest.mark.parametrize("name", OPTUNA)
def test_a_budget_that_little_meets_is_heeded_too(name: str) -> None:
    """One of six: where the sampler does not come upon it, it is given it."""
    policy = create_policy(name, SPACE.within([(1, 2)]), 3)
    for _ in range(10):
        asked = policy.ask(4)
        assert {architecture(a) for a in asked} == {(1, 2)}
        policy.tell(asked, [-0.5, -0.4, -0.3, -0.2])
    again = create_policy(name, SPACE.within([(1, 2)]), 3)
    again.load(policy.state())
    assert again.ask(4) == policy.ask(4)


def test_draws_are_from_the_product_of_alpha_restricted() -> None:
    policy = LFS(WITHIN, 5)
    policy.theta["depth"][:] = [0.0, 1.0]
    policy.theta["width"][:] = [0.5, 0.0, -0.5]
    alpha = policy.alpha()
    product = np.array([alpha["depth"][d] * alpha["width"][w] for d, w in ALLOWED])
    expected = product / product.sum()
    drawn = [architecture(a) for a in policy.ask(20000)]
    shares = [drawn.count(a) / 20000 for a in ALLOWED]
    np.testing.assert_allclose(shares, expected, atol=4 * 0.5 / 20000**0.5)
    np.testing.assert_allclose(policy.drawn_with()["depth"], [expected[:3].sum(), expected[3]])
    np.testing.assert_allclose(policy.drawn_with()["width"], [expected[0] + expected[3], expected[1], expected[2]])
    np.testing.assert_array_equal(policy.drawn_with()["loss"], alpha["loss"])


def test_lfs_follows_the_gradient_of_what_it_draws() -> None:
    """Its estimate, weighted by the probability of each draw, is the derivative of the expected advantage."""
    advantage = {a: float(i * i - 2 * i) for i, a in enumerate(ALLOWED)}
    policy = LFS(WITHIN, temperature=0.7, floor=0.05)
    policy.theta["depth"][:] = [0.3, -0.4]
    policy.theta["width"][:] = [-0.2, 0.6, 0.1]

    def expected() -> float:
        alpha = policy.alpha()
        p = np.array([alpha["depth"][d] * alpha["width"][w] for d, w in ALLOWED])
        return float(p / p.sum() @ [advantage[a] for a in ALLOWED])

    alpha = policy.alpha()
    p = np.array([alpha["depth"][d] * alpha["width"][w] for d, w in ALLOWED])
    p = p / p.sum()
    for place, name in enumerate(("depth", "width")):
        estimates = [policy._gradient(name, [a[place]], np.array([advantage[a]])) for a in ALLOWED]
        mean = sum(q * estimate for q, estimate in zip(p, estimates, strict=True))
        for k in range(len(policy.theta[name])):
            slopes = []
            for step in (1e-5, -1e-5):
                policy.theta[name][k] += step
                slopes.append(expected())
                policy.theta[name][k] -= step
            assert mean[k] == pytest.approx((slopes[0] - slopes[1]) / 2e-5, abs=1e-6)


def test_exp3_weighs_by_what_was_drawn_with() -> None:
    policy = Exp3(WITHIN, warmup=0, gamma=0.5)
    policy.tell([{"loss": 0, "depth": 1, "width": 0}, {"loss": 0, "depth": 0, "width": 2}], [1.0, 0.0])
    # Depth 1 is in one of four allowed architectures, all as likely: p = 1/4.
    assert policy.log_weights["depth"][1] == pytest.approx(0.5 / 2 * 1.0 / 0.25 / 2)


@pytest.mark.parametrize("kind", [LFS, Thompson, Exp3])
@pytest.mark.parametrize("best", ALLOWED)
def test_it_finds_the_best_architecture(kind: type[CategoricalPolicy], best: tuple[int, int]) -> None:
    policy = kind(WITHIN, 1)
    rng = np.random.default_rng(2)
    for _ in range(150):
        asked = policy.ask(4)
        hits = [sum(x == y for x, y in zip(architecture(a), best, strict=True)) for a in asked]
        policy.tell(asked, [hit * 0.1 + rng.normal(0, 0.02) for hit in hits])
    alpha = policy.alpha()
    top = max(ALLOWED, key=lambda a: alpha["depth"][a[0]] * alpha["width"][a[1]])
    assert top == best


def test_without_budgets_draws_are_as_they_were() -> None:
    free = [a for _ in range(5) for a in Random(SPACE, 7).ask(4)]
    every = [a for _ in range(5) for a in Random(SPACE.within(None), 7).ask(4)]
    assert free == every
    assert len(set(itertools.chain(map(architecture, free)))) > 1
