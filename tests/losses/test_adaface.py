import math
import statistics

import pytest
import torch

from autofr.losses import AdaFace, CosFace, MarginLoss
from autofr.testing import LossContract


class TestAdaFace(LossContract):
    def make(self, s: float) -> MarginLoss:
        return AdaFace(0.4, s=s)


def test_equals_the_formula(batch, softmax_cost, falling_cosine) -> None:  # type: ignore[no-untyped-def]
    cosines, labels, norms = batch
    m, h = 0.3, 0.5
    mean, deviation = statistics.mean(norms.tolist()), statistics.stdev(norms.tolist())

    def target(c: float, i: int) -> float:
        z = max(-1.0, min(1.0, (norms.tolist()[i] - mean) / (deviation + 1e-3) * h))
        return falling_cosine(math.acos(c) - m * z) - m * z - m

    expected = softmax_cost(cosines, labels, 24, target)
    assert float(AdaFace(m, h, s=24).double()(*batch)) == pytest.approx(expected, rel=1e-9)


def test_without_h_it_is_cosface(batch) -> None:  # type: ignore[no-untyped-def]
    torch.testing.assert_close(AdaFace(0.4, h=0, s=16)(*batch), CosFace(0.4, 16)(*batch))


def test_its_averages_follow_the_batches() -> None:
    loss = AdaFace(t_alpha=0.25, s=16)
    cosines, labels = torch.zeros(2, 3), torch.tensor([0, 1])
    for length in (10.0, 20.0, 30.0, 40.0, 80.0):
        loss(cosines, labels, torch.tensor([length - 2, length + 2]))
    # The first four count equally; from then on a quarter of the newest.
    assert float(loss.norm_mean) == pytest.approx(0.75 * 25 + 0.25 * 80)
    assert float(loss.norm_std) == pytest.approx(math.sqrt(8))


def test_it_presses_a_good_image_harder_than_a_bad_one() -> None:
    """Far from the centre, the gradient by the target cosine is smaller for a short embedding than for a long one."""
    loss = AdaFace(s=16)
    loss(torch.zeros(2, 3), torch.tensor([0, 1]), torch.tensor([15.0, 25.0]))
    loss.eval()
    gradients = []
    for length in (1.0, 60.0):
        cosine = torch.tensor([[-0.5, 0.1, 0.1]], requires_grad=True)
        value = loss.logits(cosine, torch.tensor([0]), torch.tensor([length]))[0, 0]
        gradients.append(float(torch.autograd.grad(value, cosine)[0][0, 0]))
    assert gradients[0] < gradients[1]


def test_it_needs_norms() -> None:
    with pytest.raises(ValueError, match="needs the embeddings' norms"):
        AdaFace(s=16)(torch.zeros(1, 2), torch.tensor([0]))


@pytest.mark.parametrize("settings", [{"h": -1}, {"t_alpha": 0}, {"m": 1.5}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="got"):
        AdaFace(**settings)


def test_no_gradient_flows_through_the_norms(batch) -> None:  # type: ignore[no-untyped-def]
    cosines, labels, norms = batch
    AdaFace(s=16)(cosines.requires_grad_(), labels, norms.requires_grad_()).backward()
    assert cosines.grad is not None
    assert norms.grad is None


def test_a_norm_beyond_all_measure_does_not_spoil_the_average() -> None:
    loss = AdaFace(s=16)
    loss(torch.zeros(2, 3), torch.tensor([0, 1]), torch.tensor([1e6, 0.0]))
    assert float(loss.norm_mean) == pytest.approx((100 + 1e-3) / 2)
