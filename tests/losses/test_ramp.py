import pytest
import torch

from autofr.losses import ArcFace, MarginLoss, MarginRamp, NormSoftmax, SubCentreArcFace
from autofr.testing import LossContract


class TestMarginRamp(LossContract):
    def make(self, s: float) -> MarginLoss:
        return MarginRamp(ArcFace(0.45, s), steps=2)


def test_the_margin_rises_by_step_and_only_in_training(batch) -> None:  # type: ignore[no-untyped-def]
    loss = MarginRamp(ArcFace(0.4, 16), steps=4)
    for step in range(6):
        loss.eval()
        loss(*batch)  # does not count
        loss.train()
        torch.testing.assert_close(loss(*batch), ArcFace(0.4 * min(1, step / 4), 16)(*batch), rtol=1e-6, atol=1e-6)


def test_logits_rise_too(batch) -> None:  # type: ignore[no-untyped-def]
    loss = MarginRamp(ArcFace(0.4, 16), steps=2)
    for share in (0, 0.5, 1, 1):
        torch.testing.assert_close(loss.logits(*batch), ArcFace(0.4 * share, 16).logits(*batch), rtol=1e-6, atol=1e-6)


def test_the_run_s_warm_up_works_on_top(batch) -> None:  # type: ignore[no-untyped-def]
    loss = MarginRamp(ArcFace(0.4, 16), steps=1)
    loss(*batch)
    loss.ramp = 0.5
    torch.testing.assert_close(loss(*batch), ArcFace(0.2, 16)(*batch), rtol=1e-6, atol=1e-6)
    loss.ramp = 0.0
    torch.testing.assert_close(loss(*batch), NormSoftmax(16)(*batch))


def test_scale_and_centres_are_the_wrapped_loss_s() -> None:
    loss = MarginRamp(SubCentreArcFace(0.4, 2), steps=5)
    assert (loss.s, loss.sub_centres) == (None, 2)
    loss.s = 24.0
    assert loss.loss.s == 24.0
    assert str(loss) == "MarginRamp(SubCentreArcFace(m=0.4, s=24, k=2), steps=5)"


@pytest.mark.parametrize("steps", [0, 2.5])
def test_steps_are_a_whole_number(steps: int) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        MarginRamp(ArcFace(), steps=steps)


@pytest.mark.parametrize("loss", ["arcface", MarginRamp(ArcFace(), 3)])
def test_only_a_loss_is_wrapped_and_once(loss: MarginLoss) -> None:
    with pytest.raises(ValueError, match="not ramped yet"):
        MarginRamp(loss, steps=3)
