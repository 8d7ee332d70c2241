import math

import pytest
import torch

from autofr.losses import CosFace, LFSSoftmax, MarginLoss, NormSoftmax
from autofr.testing import LossContract


class TestLFSSoftmax(LossContract):
    def make(self, s: float) -> MarginLoss:
        return LFSSoftmax(-50, s)


def test_equals_the_formula(batch) -> None:  # type: ignore[no-untyped-def]
    cosines, labels, _ = batch
    a, s, total = -20.0, 8.0, 0.0
    for row, label in zip(cosines.tolist(), labels.tolist(), strict=True):
        p = math.exp(s * row[label]) / sum(math.exp(s * c) for c in row)
        total -= math.log(p / (a * p + 1 - a))
    assert float(LFSSoftmax(a, s)(cosines, labels)) == pytest.approx(total / 16, rel=1e-12)


@pytest.mark.parametrize(
    ("a", "s"), [(-0.5, 8.0), (-20.0, 8.0), (-0.5, 64.0), (-20.0, 24.0), (-1e6, 24.0), (-1e6, 64.0)]
)
def test_a_constant_a_is_cosface(a, s, batch) -> None:  # type: ignore[no-untyped-def]
    """p_m = h(a, p)·p with a constant a is CosFace with m = ln(1 - a)/s; also half-way up a ramp."""
    m = math.log(1 - a) / s
    for ramp in (1.0, 0.5):
        ours, cosface = LFSSoftmax(a, s), CosFace(m, s)
        ours.ramp = cosface.ramp = ramp
        torch.testing.assert_close(ours(*batch), cosface(*batch), rtol=1e-9, atol=1e-12)


def test_a_0_is_the_normalised_softmax(batch) -> None:  # type: ignore[no-untyped-def]
    torch.testing.assert_close(LFSSoftmax(0, 16)(*batch), NormSoftmax(16)(*batch))


def test_log_space_holds_where_softmax_then_log_overflows() -> None:
    cosines = torch.tensor([[-1.0, 1.0]], requires_grad=True)
    value = LFSSoftmax(-1e30, 64)(cosines, torch.tensor([0]))
    value.backward()
    assert float(value.detach()) == pytest.approx(128 + math.log(1e30), rel=1e-6)
    assert cosines.grad is not None
    assert cosines.grad.isfinite().all()


def test_a_above_0_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or less"):
        LFSSoftmax(0.5)
