import math

import pytest
import torch

from autofr.losses import ArcFace, CosFace, MarginLoss, NormSoftmax
from autofr.testing import LossContract


class TestArcFace(LossContract):
    def make(self, s: float) -> MarginLoss:
        return ArcFace(0.45, s)


class TestCosFace(LossContract):
    def make(self, s: float) -> MarginLoss:
        return CosFace(0.35, s)


class TestNormSoftmax(LossContract):
    def make(self, s: float) -> MarginLoss:
        return NormSoftmax(s)


def independent(cosines: torch.Tensor, labels: torch.Tensor, s: float, target) -> float:  # type: ignore[no-untyped-def]
    """Cross-entropy written out in Python floats."""
    total = 0.0
    for row, label in zip(cosines.tolist(), labels.tolist(), strict=True):
        logits = [s * (target(c) if j == label else c) for j, c in enumerate(row)]
        top = max(logits)
        total += top + math.log(sum(math.exp(v - top) for v in logits)) - logits[label]
    return total / len(labels)


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (ArcFace(0.3, 24), lambda c: math.cos(math.acos(c) + 0.3)),
        (CosFace(0.2, 24), lambda c: c - 0.2),
        (NormSoftmax(24), lambda c: c),
    ],
    ids=str,
)
def test_equals_the_formula(loss: MarginLoss, target) -> None:  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(1)
    cosines = torch.rand(16, 9, generator=generator, dtype=torch.float64) * 1.6 - 0.8
    labels = torch.randint(9, (16,), generator=generator)
    assert math.isclose(float(loss(cosines, labels)), independent(cosines, labels, 24, target), rel_tol=1e-9)


@pytest.mark.parametrize("loss", [ArcFace(0.0, 16), CosFace(0.0, 16)], ids=str)
def test_no_margin_is_the_normalised_softmax(loss: MarginLoss) -> None:
    cosines, labels = LossContract()._cosines()
    torch.testing.assert_close(loss(cosines, labels), NormSoftmax(16)(cosines, labels), rtol=1e-9, atol=1e-12)


def test_arcface_slope_is_exact() -> None:
    """The target logit's slope in cos θ is sin(θ + m)/sin θ, not 1."""
    theta = torch.linspace(0.2, 2.5, 50, dtype=torch.float64)
    cosine = theta.cos().requires_grad_()
    ArcFace(0.4).target(cosine).sum().backward()
    torch.testing.assert_close(cosine.grad, (theta + 0.4).sin() / theta.sin())


def test_arcface_joins_smoothly_where_the_cosine_would_turn() -> None:
    m = 0.45
    theta = torch.tensor([math.pi - m - 1e-6, math.pi - m + 1e-6], dtype=torch.float64)
    near = ArcFace(m).target(theta.cos())
    torch.testing.assert_close(near, torch.tensor([-1.0, -1.0], dtype=torch.float64), atol=1e-5, rtol=0)
    assert ArcFace(m).target(torch.tensor([-1.0]))[0] < -1


def test_half_a_ramp_is_half_a_margin() -> None:
    cosines, labels = LossContract()._cosines()
    ramped = ArcFace(0.4, 16)
    ramped.ramp = 0.5
    torch.testing.assert_close(ramped(cosines, labels), ArcFace(0.2, 16)(cosines, labels))


@pytest.mark.parametrize(
    "make", [lambda: ArcFace(-0.1), lambda: ArcFace(2.0), lambda: CosFace(1.5), lambda: ArcFace(s=0)]
)
def test_a_margin_or_scale_out_of_range_is_refused(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="got"):
        make()


def test_a_loss_without_scale_says_so() -> None:
    with pytest.raises(ValueError, match="no scale"):
        ArcFace(0.3)(torch.zeros(1, 2), torch.tensor([0]))


def test_names() -> None:
    assert [str(x) for x in (ArcFace(0.05), ArcFace(0.5, 64), NormSoftmax())] == [
        "ArcFace(m=0.05)",
        "ArcFace(m=0.5, s=64)",
        "NormSoftmax()",
    ]
