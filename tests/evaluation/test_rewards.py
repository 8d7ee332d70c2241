"""Rewards against independent computations in float64, by properties, and at extremes."""

import math

import numpy as np
import pytest
import torch

from autofr.evaluation.errors import measure_scores
from autofr.evaluation.figures import Errors
from autofr.evaluation.rewards import REWARDS, det_area, fmrs_around, fnmr

FMR = 0.01


def measured(genuine: np.ndarray, impostor: np.ndarray, fmr: float = FMR) -> Errors:
    fmrs = [fmr, *fmrs_around(fmr, len(impostor))]
    return measure_scores(torch.from_numpy(genuine), torch.from_numpy(impostor), fmrs)


@pytest.fixture(params=range(3))
def scores(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(request.param)
    genuine, impostor = rng.normal(1.5 + request.param, 1.2, 3000), rng.normal(0, 1, 20_000)
    return (genuine, impostor) if request.param < 2 else (genuine.round(1), impostor.round(1))  # with ties


def fnmrs(genuine: np.ndarray, impostor: np.ndarray, fmrs: list[float]) -> list[float]:
    falling = np.sort(impostor)[::-1]
    return [float(np.mean(genuine <= falling[int(fmr * len(falling) * (1 + 1e-12))])) for fmr in fmrs]


def test_those_of_operating_points(scores: tuple[np.ndarray, np.ndarray]) -> None:
    errors = measured(*scores)
    assert fnmr(errors) == -fnmrs(*scores, [FMR])[0]
    rates = np.geomspace(0.001, 0.1, 9)
    found = np.array(fnmrs(*scores, rates.tolist()))
    weights = np.array([0.5, *[1] * 7, 0.5]) / 8  # of the trapezoidal rule, in the logarithm of the rate
    assert det_area(errors) == pytest.approx(-weights @ found, rel=1e-12)


@pytest.mark.parametrize("name", REWARDS)
def test_more_alike_genuine_pairs_are_worth_more(name: str) -> None:
    rng = np.random.default_rng(1)
    genuine, impostor = rng.normal(1, 1, 2000), rng.normal(0, 1, 20_000)
    worth = [REWARDS[name](measured(genuine + shift, impostor)) for shift in (0.0, 0.3, 0.6, 1.2)]
    assert worth == sorted(worth)
    assert worth[0] < worth[-1]


@pytest.mark.parametrize("name", REWARDS)
def test_a_monotone_map_of_the_scores_changes_nothing(name: str) -> None:
    rng = np.random.default_rng(2)
    genuine, impostor = rng.normal(1, 1, 2000), rng.normal(0, 1, 20_000)
    one, two = (REWARDS[name](measured(f(genuine), f(impostor))) for f in (np.asarray, np.exp))
    assert one == two


@pytest.mark.parametrize("name", REWARDS)
def test_nothing_to_learn_from_embeddings_that_coincide(name: str) -> None:
    assert REWARDS[name](measured(np.ones(50), np.ones(2000))) == -1


@pytest.mark.parametrize(
    ("fmr", "impostors"), [(0.01, 10**6), (0.01, 150), (0.1, 30), (0.4, 10**4), (1e-3, 1000), (0.5, 3)]
)
def test_the_rates_around_one_can_be_shown(fmr: float, impostors: int) -> None:
    rates = fmrs_around(fmr, impostors)
    assert len(rates) == 9
    assert rates == sorted(rates)
    assert rates[0] >= max(fmr / 10, 1 / impostors) * (1 - 1e-12)
    assert rates[-1] <= max(0.5, rates[0])
    rng = np.random.default_rng(0)
    assert math.isfinite(det_area(measured(rng.normal(1, 1, 50), rng.normal(0, 1, impostors), fmr)))
