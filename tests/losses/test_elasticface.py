import math

import pytest
import torch

from autofr.losses import ArcFace, CosFace, ElasticFace, MarginLoss
from autofr.testing import LossContract


class TestElasticFaceArc(LossContract):
    def make(self, s: float) -> MarginLoss:
        return ElasticFace(kind="arc", s=s)


class TestElasticFaceCosPlus(LossContract):
    def make(self, s: float) -> MarginLoss:
        return ElasticFace(kind="cos", plus=True, s=s)


@pytest.mark.parametrize("kind", ["arc", "cos"])
@pytest.mark.parametrize("plus", [True, False])
def test_equals_the_formula(kind, plus, batch, softmax_cost, falling_cosine) -> None:  # type: ignore[no-untyped-def]
    cosines, labels, _ = batch
    torch.manual_seed(3)
    margins = [0.3 + 0.1 * z for z in torch.randn(16).tolist()]
    if plus:
        own = [row[label] for row, label in zip(cosines.tolist(), labels.tolist(), strict=True)]
        nearest_first = sorted(range(16), key=lambda i: -own[i])
        dealt = dict(zip(nearest_first, sorted(margins), strict=True))
        margins = [dealt[i] for i in range(16)]

    def target(c: float, i: int) -> float:
        return falling_cosine(math.acos(c) + margins[i]) if kind == "arc" else c - margins[i]

    torch.manual_seed(3)
    value = float(ElasticFace(0.3, 0.1, kind, plus, 24)(cosines, labels))
    assert value == pytest.approx(softmax_cost(cosines, labels, 24, target), rel=1e-6)  # margins are float32


def test_with_sigma_0_it_is_arcface_or_cosface(batch) -> None:  # type: ignore[no-untyped-def]
    torch.testing.assert_close(ElasticFace(0.4, 0, "arc", s=16)(*batch), ArcFace(0.4, 16)(*batch), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ElasticFace(0.4, 0, "cos", s=16)(*batch), CosFace(0.4, 16)(*batch), rtol=1e-6, atol=1e-6)


def test_margins_are_drawn_anew_and_from_their_distribution() -> None:
    loss = ElasticFace(0.5, 0.05, "cos", s=1)
    cosines, labels = torch.zeros(20000, 2), torch.zeros(20000, dtype=torch.int64)
    torch.manual_seed(0)
    first, second = (-loss.logits(cosines, labels)[:, 0] for _ in range(2))
    assert not torch.equal(first, second)
    assert float(first.mean()) == pytest.approx(0.5, abs=0.002)
    assert float(first.std()) == pytest.approx(0.05, abs=0.002)


def test_a_margin_drawn_beyond_a_half_turn_is_held_there() -> None:
    """Past it the continued cosine would not fall any more: for each of 4000 draws of N(1.5, 0.5²) it does."""
    loss, targets = ElasticFace(1.5, 0.5, s=1), []
    for angle in torch.linspace(0.1, 3.0, 30, dtype=torch.float64):
        torch.manual_seed(0)
        cosines = torch.stack([angle.cos(), angle.new_zeros(())]).repeat(4000, 1)
        targets.append(loss.logits(cosines, torch.zeros(4000, dtype=torch.int64))[:, 0])
    assert (torch.stack(targets).diff(dim=0) < 0).all()


def test_the_paper_s_deviations() -> None:
    assert [ElasticFace(kind=k, plus=p).sigma for k in ("arc", "cos") for p in (False, True)] == [
        0.05,
        0.0175,
        0.05,
        0.025,
    ]


@pytest.mark.parametrize("settings", [{"kind": "sphere"}, {"sigma": -0.1}, {"sigma": 0.6}, {"m": 2.0}])
def test_settings_out_of_range_are_refused(settings) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="got"):
        ElasticFace(**settings)
