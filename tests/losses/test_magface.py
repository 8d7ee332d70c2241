import itertools
import math

import pytest
import torch

from autofr.losses import ArcFace, MagFace, MarginLoss
from autofr.testing import LossContract


class TestMagFace(LossContract):
    softmax = False  # a cost of the norm comes on top

    def make(self, s: float) -> MarginLoss:
        return MagFace(s=s)


def test_equals_the_formula(batch, softmax_cost, falling_cosine) -> None:  # type: ignore[no-untyped-def]
    cosines, labels, norms = batch
    assert norms.max() > 40  # both ends are clipped
    assert norms.min() < 10
    lengths = [max(10.0, min(40.0, a)) for a in norms.tolist()]
    margins = [0.3 + (0.7 - 0.3) * (a - 10) / 30 for a in lengths]
    expected = softmax_cost(cosines, labels, 24, lambda c, i: falling_cosine(math.acos(c) + margins[i]))
    expected += 5 * sum(a / 40**2 + 1 / a for a in lengths) / len(lengths)
    loss = MagFace(0.3, 0.7, 10, 40, 5, 24)
    assert float(loss(*batch)) == pytest.approx(expected, rel=1e-9)


def test_one_margin_and_no_reward_is_arcface(batch) -> None:  # type: ignore[no-untyped-def]
    torch.testing.assert_close(MagFace(0.4, 0.4, lambda_g=0, s=16)(*batch), ArcFace(0.4, 16)(*batch))


def test_gradient_by_the_norms_is_exact(batch) -> None:  # type: ignore[no-untyped-def]
    cosines, labels, norms = batch
    norms = norms.clamp(12, 100).requires_grad_()
    assert torch.autograd.gradcheck(lambda n: MagFace(s=8)(cosines, labels, n), norms)


def test_the_cost_of_the_norm_falls_up_to_u_a() -> None:
    norms = torch.linspace(10, 110, 50, dtype=torch.float64)
    ones = torch.ones(1, 1, dtype=torch.float64)
    values = [float(MagFace(s=8)(ones, torch.tensor([0]), n[None])) for n in norms]
    assert all(a > b for a, b in itertools.pairwise(values))


@pytest.mark.parametrize("settings", [{"l_m": 0.9}, {"l_a": 0}, {"u_a": 5}, {"lambda_g": -1}, {"u_m": 2}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="got"):
        MagFace(**settings)
