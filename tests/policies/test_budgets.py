"""Policies over architectures within budgets: what they draw, and what they learn from it."""

from typing import Any

import numpy as np
import pytest

from autofr import Choice, Elastic, SearchSpace
from autofr.losses import ArcFace
from autofr.policies import LFS, Exp3, Random, Thompson, create_policy
from autofr.policies.base import UNFITTED, CategoricalPolicy

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


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, *OPTUNA])
def test_nothing_else_is_drawn_and_all_of_it_is(name: str) -> None:
    policy = create_policy(name, WITHIN, 0)
    drawn = set()
    for _ in range(25):
        asked = policy.ask(4)
        drawn |= {architecture(a) for a in asked}
        policy.tell(asked, [-0.1 * a["loss"] for a in asked])
    assert drawn == set(ALLOWED)


@pytest.mark.slow
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


def test_every_option_is_drawn_about_as_often_as_its_alpha_says() -> None:
    """By hand: depth 1 goes with width 0 alone; what is left of width 0, and all of the others, goes with depth 0."""
    policy = LFS(WITHIN, 5)
    policy.theta["depth"][:] = [1.0, 0.0]
    policy.theta["width"][:] = [0.5, 0.0, -0.5]
    alpha = policy.alpha()
    depth, width = alpha["depth"], alpha["width"]
    fitted = np.array([width[0] - depth[1], width[1], width[2], depth[1]])
    assert (fitted > 0).all()
    product = np.array([depth[d] * width[w] for d, w in ALLOWED])
    expected = (1 - UNFITTED) * fitted + UNFITTED * product / product.sum()
    np.testing.assert_allclose(policy._joint(alpha), expected, atol=1e-3)
    drawn = [architecture(a) for a in policy.ask(20000)]
    shares = [drawn.count(a) / 20000 for a in ALLOWED]
    np.testing.assert_allclose(shares, expected, atol=1e-3 + 4 * 0.5 / 20000**0.5)


def test_where_that_cannot_be_had_every_allowed_architecture_has_a_chance() -> None:
    """Half for depth 1, which goes with a width that α gives a third; and an option of no network counts for none."""
    policy = LFS(WITHIN)
    joint = policy._joint(policy.alpha())
    assert joint.sum() == pytest.approx(1)
    assert (joint > UNFITTED / 5).all()
    never = LFS(SPACE.within([(0, 0), (0, 1)]))
    np.testing.assert_allclose(never._joint(never.alpha()), [0.5, 0.5])


def test_one_dimension_with_budgets_is_alpha_over_what_is_left() -> None:
    space = SearchSpace(loss=Choice(ArcFace(0.1)), backbone=Choice("ir_mini", "ir18", "ir34")).within([(0,), (2,)])
    policy = LFS(space)
    policy.theta["backbone"][:] = [1.0, 3.0, 0.0]
    alpha = policy.alpha()["backbone"][[0, 2]]
    np.testing.assert_allclose(policy._joint(policy.alpha()), alpha / alpha.sum())


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


def test_without_budgets_draws_are_as_they_always_were() -> None:
    """Pinned: runs that were made before budgets were go on to the same bits."""
    space = SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.2, 0.3)), backbone=Choice("ir_mini", "ir18"))
    drawn = [tuple(a.values()) for a in Random(space, 7).ask(8)]
    assert drawn == [(1, 1), (2, 0), (2, 0), (0, 0), (0, 0), (2, 0), (0, 1), (2, 1)]
