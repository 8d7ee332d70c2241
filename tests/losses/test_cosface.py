import pytest

from autofr.losses import CosFace, MarginLoss
from autofr.testing import LossContract


class TestCosFace(LossContract):
    def make(self, s: float) -> MarginLoss:
        return CosFace(0.35, s)


def test_equals_the_formula(batch, softmax_cost) -> None:  # type: ignore[no-untyped-def]
    cosines, labels, _ = batch
    expected = softmax_cost(cosines, labels, 24, lambda c, i: c - 0.2)
    assert float(CosFace(0.2, 24)(cosines, labels)) == pytest.approx(expected, rel=1e-12)


def test_a_margin_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="a cosine from 0 to 1, got"):
        CosFace(1.5)
