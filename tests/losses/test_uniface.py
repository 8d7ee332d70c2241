import math

import pytest

from autofr.losses import MarginLoss, UniFace
from autofr.testing import LossContract


class TestUniFace(LossContract):
    softmax = False

    def make(self, s: float) -> MarginLoss:
        return UniFace(0.4, s=s)


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_equals_the_formula(weight, batch) -> None:  # type: ignore[no-untyped-def]
    cosines, labels, _ = batch
    s, m, b = 16.0, 0.3, math.log(90) + 0.5
    total = 0.0
    for row, label in zip(cosines.tolist(), labels.tolist(), strict=True):
        for j, c in enumerate(row):
            if j == label:
                total += math.log1p(math.exp(-s * (c - m) + b))
            else:
                total += weight * math.log1p(math.exp(s * c - b))
    loss = UniFace(m, weight, s)
    loss.bias.data.fill_(0.5)
    assert float(loss(cosines, labels).detach()) == pytest.approx(total / 16, rel=1e-9)


def test_one_threshold_is_learned_for_all_classes(batch) -> None:  # type: ignore[no-untyped-def]
    loss = UniFace(s=16)
    loss(*batch).backward()
    assert loss.bias.grad is not None
    assert loss.bias.grad.shape == ()
    assert float(loss.bias.grad) != 0


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="weight above 0, got 0"):
        UniFace(lambda_=0)
