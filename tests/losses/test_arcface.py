import math

import pytest
import torch

from autofr.losses import ArcFace, MarginLoss
from autofr.losses.angles import add_angle, scale_angle
from autofr.testing import LossContract


class TestArcFace(LossContract):
    def make(self, s: float) -> MarginLoss:
        return ArcFace(0.45, s)


@pytest.mark.parametrize("m", [0.05, 0.3, 1.2])
def test_equals_the_formula(m, batch, softmax_cost, falling_cosine) -> None:  # type: ignore[no-untyped-def]
    cosines, labels, _ = batch
    expected = softmax_cost(cosines, labels, 24, lambda c, i: falling_cosine(math.acos(c) + m))
    assert float(ArcFace(m, 24)(cosines, labels)) == pytest.approx(expected, rel=1e-9)


def test_slope_is_exact() -> None:
    """The target logit's slope in cos θ is sin(θ + m)/sin θ, not 1."""
    theta = torch.linspace(0.2, 2.5, 50, dtype=torch.float64)
    cosine = theta.cos().requires_grad_()
    ArcFace(0.4).target(cosine).sum().backward()
    torch.testing.assert_close(cosine.grad, (theta + 0.4).sin() / theta.sin())


@pytest.mark.parametrize("m", [-1.0, -0.3, 0.0, 0.45, 1.5])
def test_the_cosine_falls_over_all_angles_and_joins_smoothly(m: float) -> None:
    theta = torch.linspace(0.002, math.pi - 0.002, 20001, dtype=torch.float64)
    values = add_angle(theta.cos(), m)
    slopes = values.diff() / theta.diff()
    assert (slopes <= 0).all()
    assert (values.diff() < 0).all()
    assert (slopes.diff().abs() < 1e-3).all()


@pytest.mark.parametrize(("m1", "m2"), [(1, 0.5), (1.35, 0.0), (2, 0.3), (4, 1.0)])
def test_a_scaled_angle_falls_too(m1: float, m2: float) -> None:
    theta = torch.linspace(0.002, math.pi - 0.002, 20001, dtype=torch.float64)
    values = scale_angle(theta.cos(), m1, m2)
    assert (values.diff() < 0).all()
    assert ((values.diff() / theta.diff()).diff().abs() < 0.01).all()


def test_half_a_ramp_is_half_a_margin(batch) -> None:  # type: ignore[no-untyped-def]
    ramped = ArcFace(0.4, 16)
    ramped.ramp = 0.5
    torch.testing.assert_close(ramped(*batch), ArcFace(0.2, 16)(*batch))


@pytest.mark.parametrize("m", [-0.1, 2.0, math.nan])
def test_a_margin_out_of_range_is_refused(m: float) -> None:
    with pytest.raises(ValueError, match="got"):
        ArcFace(m)


def test_names() -> None:
    assert [str(x) for x in (ArcFace(0.05), ArcFace(0.5, 64))] == ["ArcFace(m=0.05)", "ArcFace(m=0.5, s=64)"]
