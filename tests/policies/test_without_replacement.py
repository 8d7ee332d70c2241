"""The unordered-set estimator, against enumeration of every ordered draw."""

from itertools import combinations, permutations

import numpy as np
import pytest

from autofr.policies.without_replacement import set_probability, set_weights

SKEWED = np.array([0.5, 0.25, 0.15, 0.07, 0.03])
EXTREME = np.array([1 - 3e-9, 1e-9, 1e-9, 1e-9])


def enumerated(p: np.ndarray, options: tuple[int, ...]) -> float:
    total = 0.0
    for order in permutations(options):
        left, chance = 1.0, 1.0
        for k in order:
            chance *= p[k] / left
            left = 1 - sum(p[j] for j in order[: order.index(k) + 1])
        total += chance
    return total


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_the_probability_of_a_set_is_that_of_all_its_orders(n: int) -> None:
    for options in combinations(range(5), n):
        assert set_probability(SKEWED, options) == pytest.approx(enumerated(SKEWED, options), rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_the_estimate_is_unbiased(n: int) -> None:
    f = np.array([0.3, -1.0, 2.0, 5.0, -4.0])
    estimates = [
        set_probability(SKEWED, s) * float(set_weights(SKEWED, s) @ f[list(s)]) for s in combinations(range(5), n)
    ]
    assert sum(estimates) == pytest.approx(float(SKEWED @ f), rel=1e-9)


def test_all_options_drawn_leaves_nothing_to_estimate() -> None:
    np.testing.assert_allclose(set_weights(SKEWED, [4, 2, 0, 1, 3]), SKEWED[[4, 2, 0, 1, 3]])


def test_extremes_stay_finite() -> None:
    for n in (1, 2, 3):
        for options in combinations(range(4), n):
            weights = set_weights(EXTREME, options)
            assert np.isfinite(weights).all()
            assert (weights >= 0).all()
