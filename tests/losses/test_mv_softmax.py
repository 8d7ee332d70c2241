import math

import pytest
import torch

from autofr.losses import ArcFace, CosFace, MarginLoss, MVSoftmax
from autofr.testing import LossContract


class TestMVSoftmaxArc(LossContract):
    def make(self, s: float) -> MarginLoss:
        return MVSoftmax(kind="arc", s=s)


class TestMVSoftmaxCosFixed(LossContract):
    def make(self, s: float) -> MarginLoss:
        return MVSoftmax(kind="cos", adaptive=False, s=s)


@pytest.mark.parametrize("kind", ["arc", "cos"])
@pytest.mark.parametrize("adaptive", [True, False])
def test_equals_the_formula(kind, adaptive, batch, softmax_cost, falling_cosine) -> None:  # type: ignore[no-untyped-def]
    cosines, labels, _ = batch
    t, m = 0.25, 0.3

    def target(c: float, i: int) -> float:
        return falling_cosine(math.acos(c) + m) if kind == "arc" else c - m

    def other(c: float, paid: float) -> float:
        return c if c <= paid else (1 + t) * c + t if adaptive else c + t

    loss = MVSoftmax(m, t, kind, adaptive, 24)
    assert float(loss(cosines, labels)) == pytest.approx(softmax_cost(cosines, labels, 24, target, other), rel=1e-9)


def test_with_t_0_it_is_arcface_or_cosface(batch) -> None:  # type: ignore[no-untyped-def]
    torch.testing.assert_close(MVSoftmax(0.4, 0, "arc", s=16)(*batch), ArcFace(0.4, 16)(*batch))
    torch.testing.assert_close(MVSoftmax(0.4, 0, "cos", s=16)(*batch), CosFace(0.4, 16)(*batch))


@pytest.mark.parametrize("settings", [{"kind": "am"}, {"t": -0.1}, {"m": 1.2}])
def test_settings_out_of_range_are_refused(settings) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="got"):
        MVSoftmax(**settings)
