import math

import pytest
import torch

from autofr.losses import ArcFace, CombinedMargin, CosFace, MarginLoss
from autofr.testing import LossContract


class TestCombinedMargin(LossContract):
    def make(self, s: float) -> MarginLoss:
        return CombinedMargin(1.35, 0.2, 0.1, s)


@pytest.mark.parametrize("margins", [(1.0, 0.3, 0.2), (1.35, 0.0, 0.0), (2.0, 0.4, 0.1), (4.0, 0.0, 0.0)])
def test_equals_the_formula_all_three_margins_counting(  # type: ignore[no-untyped-def]
    margins, batch, softmax_cost, falling_cosine
) -> None:
    cosines, labels, _ = batch
    m1, m2, m3 = margins
    expected = softmax_cost(cosines, labels, 24, lambda c, i: falling_cosine(m1 * math.acos(c) + m2) - m3)
    assert float(CombinedMargin(*margins, 24)(cosines, labels)) == pytest.approx(expected, rel=1e-9)


def test_it_contains_arcface_and_cosface(batch) -> None:  # type: ignore[no-untyped-def]
    torch.testing.assert_close(CombinedMargin(1, 0.4, 0, 16)(*batch), ArcFace(0.4, 16)(*batch))
    torch.testing.assert_close(CombinedMargin(1, 0, 0.3, 16)(*batch), CosFace(0.3, 16)(*batch))


@pytest.mark.parametrize("margins", [(0.9, 0, 0), (5, 0, 0), (1, 2, 0), (1, 0, 1.1)])
def test_margins_out_of_range_are_refused(margins: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="CombinedMargin's m"):
        CombinedMargin(*margins)
