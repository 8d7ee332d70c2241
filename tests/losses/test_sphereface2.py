import math

import pytest
import torch

from autofr.losses import MarginLoss, SphereFace2
from autofr.testing import LossContract


class TestSphereFace2(LossContract):
    softmax = False

    def make(self, s: float) -> MarginLoss:
        return SphereFace2(0.4, r=s)


def test_equals_the_formula(batch) -> None:  # type: ignore[no-untyped-def]
    cosines, labels, _ = batch
    r, m, t, share, lw, classes = 20.0, 0.3, 3.0, 0.7, 50.0, 9

    def g(z: float) -> float:
        return 2 * ((z + 1) / 2) ** t - 1

    # The bias at which, all cosines being 0, the gradient by it is 0: found here by bisection.
    low, high = -100.0, 100.0
    for _ in range(200):
        b = (low + high) / 2
        pull = share / (1 + math.exp(r * (g(0) - m) + b))
        push = (1 - share) * (classes - 1) / (1 + math.exp(-r * (g(0) + m) - b))
        low, high = (b, high) if pull > push else (low, b)
    total = 0.0
    for row, label in zip(cosines.tolist(), labels.tolist(), strict=True):
        for j, c in enumerate(row):
            if j == label:
                total += lw / r * share * math.log1p(math.exp(-r * (g(c) - m) - b))
            else:
                total += lw / r * (1 - share) * math.log1p(math.exp(r * (g(c) + m) + b))
    assert float(SphereFace2(m, r)(cosines, labels).detach()) == pytest.approx(total / 16, rel=1e-9)


@pytest.mark.parametrize("classes", [2, 10, 100_000])
def test_the_bias_starts_where_its_gradient_is_zero(classes: int) -> None:
    loss = SphereFace2(r=40).double()
    loss(torch.zeros(3, classes, dtype=torch.float64), torch.tensor([0, 1, 1])).backward()
    assert loss.bias.grad is not None
    assert abs(float(loss.bias.grad)) < 1e-9


@pytest.mark.parametrize("settings", [{"lambda_": 1.0}, {"t": 0.5}, {"lw": 0}, {"m": 2.0}, {"r": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="got"):
        SphereFace2(**settings)
