import math

import pytest
import torch

from autofr.losses import CurricularFace, MarginLoss
from autofr.testing import LossContract


class TestCurricularFace(LossContract):
    monotone = False  # a negative changes its value where it becomes hard

    def make(self, s: float) -> MarginLoss:
        return CurricularFace(0.45, s=s)


@pytest.mark.parametrize("t", [0.0, 0.4])
def test_equals_the_formula(t, batch, softmax_cost, falling_cosine) -> None:  # type: ignore[no-untyped-def]
    cosines, labels, _ = batch
    expected = softmax_cost(
        cosines,
        labels,
        24,
        lambda c, i: falling_cosine(math.acos(c) + 0.3),
        lambda c, paid: c * (t + c) if c > paid else c,
    )
    loss = CurricularFace(0.3, s=24).double().eval()
    loss.t.fill_(t)
    assert float(loss(cosines, labels)) == pytest.approx(expected, rel=1e-9)


def test_t_is_an_average_of_target_cosines() -> None:
    loss = CurricularFace(alpha=0.9, s=16)
    for cosine in (0.5, 0.25):
        loss(torch.tensor([[cosine, -0.9]]), torch.tensor([0]))
    assert float(loss.t) == pytest.approx(0.9 * (0.1 * 0.5) + 0.1 * 0.25)


def test_hard_negatives_are_eased_first_and_pressed_later() -> None:
    cosines, labels = torch.tensor([[0.2, 0.6]]), torch.tensor([0])
    loss = CurricularFace(0.3, s=16).eval()
    early = loss.logits(cosines, labels)[0, 1]
    loss.t.fill_(0.9)
    assert early < 16 * 0.6 < loss.logits(cosines, labels)[0, 1]


def test_the_target_falls_with_the_angle() -> None:
    angles = torch.linspace(0.01, math.pi - 0.01, 2000, dtype=torch.float64)
    assert (CurricularFace(0.45).target(angles.cos()).diff() < 0).all()


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="weight from 0 to 1, got"):
        CurricularFace(alpha=1.5)
