import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofr.runs.pareto import PRICES, ParetoSet, Point, Trade

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=40)


def points(pairs: list[tuple[int, int]]) -> list[Point]:
    return [Point(f"net{i}", error / 10, float(cost), i, 0) for i, (error, cost) in enumerate(pairs)]


@given(PAIRS)
def test_it_is_what_nothing_beats(pairs: list[tuple[int, int]]) -> None:
    """Against the definition, pair by pair; of equals the first stays."""
    unbeaten = {(e, c) for e, c in pairs if not any(f <= e and d <= c and (f, d) != (e, c) for f, d in pairs)}
    found = ParetoSet(points(pairs)).points
    assert [(p.error, p.cost) for p in found] == sorted(((e / 10, float(c)) for e, c in unbeaten), key=lambda p: p[1])
    assert all(p.generation == pairs.index((round(p.error * 10), int(p.cost))) for p in found)


@given(PAIRS, st.randoms())
def test_the_order_of_offers_does_not_matter(pairs: list[tuple[int, int]], draw: Random) -> None:
    shuffled = list(pairs)
    draw.shuffle(shuffled)
    one, other = (ParetoSet(points(given)).points for given in (pairs, shuffled))
    assert [(p.error, p.cost) for p in one] == [(p.error, p.cost) for p in other]


def test_a_preference_is_a_price_of_twice_the_cost() -> None:
    front = ParetoSet([Point("a", 0.300, 1e6, 0, 0), Point("b", 0.285, 2e6, 0, 0), Point("c", 0.280, 4e6, 0, 0)])
    assert front.pick(Trade(prefer="accurate")).backbone == "c"
    assert front.pick(Trade(prefer="balanced")).backbone == "b"  # 0.015 for the first doubling, 0.005 for the second
    assert front.pick(Trade(prefer="fast")).backbone == "a"


@pytest.mark.parametrize("prefer", PRICES)
def test_worth_is_reward_minus_price_times_doublings(prefer: str) -> None:
    trade = Trade(prefer=prefer)
    assert trade.worth(-0.4, 8e6) - trade.worth(-0.4, 1e6) == pytest.approx(-3 * PRICES[prefer])
    assert math.isnan(trade.worth(math.nan, 1e6))


def test_of_equals_the_cheapest_is_picked() -> None:
    front = ParetoSet([Point("a", 0.30, 1.0, 0, 0), Point("b", 0.29, 2.0, 0, 0)])
    assert front.pick(Trade(prefer="balanced")).backbone == "a"
