import math

import pytest
import torch
from torch import nn

from autofr.training.distillation import TEMPERATURE, Guide, cosines, relation_loss


def written_out(own: list[list[float]], told: list[list[float]]) -> float:
    """The loss in Python's own floats, face by face."""

    def distribution(row: list[float], itself: int) -> list[float]:
        powers = [0.0 if j == itself else math.exp(c / TEMPERATURE) for j, c in enumerate(row)]
        return [power / sum(powers) for power in powers]

    total = 0.0
    for i in range(len(own)):
        p, q = distribution(told[i], i), distribution(own[i], i)
        total += sum(a * math.log(a / b) for j, (a, b) in enumerate(zip(p, q, strict=True)) if j != i)
    return total / len(own)


def test_it_is_the_formula() -> None:
    torch.manual_seed(1)
    learner, guide = torch.randn(6, 4), torch.randn(6, 9)
    own, told = cosines(learner.double()), cosines(guide.double())
    found = relation_loss(learner, cosines(guide))
    assert float(found) == pytest.approx(written_out(own.tolist(), told.tolist()), rel=1e-4)
    assert float(found) > 0


def test_it_is_0_where_both_agree_however_the_space_is_turned() -> None:
    torch.manual_seed(2)
    embeddings = torch.randn(8, 5)
    turned = embeddings @ torch.linalg.qr(torch.randn(5, 5))[0] * 3
    assert float(relation_loss(turned, cosines(embeddings))) == pytest.approx(0, abs=1e-6)


def test_a_batch_of_one_has_no_relations() -> None:
    learner = torch.randn(1, 4, requires_grad=True)
    relation_loss(learner, torch.ones(1, 1)).backward()
    assert learner.grad is not None
    assert not learner.grad.any()


def test_its_gradient_is_that_of_the_formula() -> None:
    torch.manual_seed(3)
    learner, told = torch.randn(4, 3, dtype=torch.float64, requires_grad=True), cosines(torch.randn(4, 3))
    relation_loss(learner, told).backward()
    step = 1e-3
    for i, j in ((0, 0), (2, 1), (3, 2)):
        moved = [learner.detach().clone() for _ in range(2)]
        moved[0][i, j] += step
        moved[1][i, j] -= step
        up, down = (written_out(cosines(m).tolist(), told.tolist()) for m in moved)
        assert float(learner.grad[i, j]) == pytest.approx((up - down) / (2 * step), rel=2e-2, abs=1e-3)  # type: ignore[index]


def test_a_guide_neither_learns_nor_drifts() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4))
    guide = Guide("key", net)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    relations = guide.relations(torch.randn(5, 3, 2, 2))
    assert relations.shape == (5, 5)
    assert not relations.requires_grad
    torch.testing.assert_close(relations.diagonal(), torch.ones(5))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
