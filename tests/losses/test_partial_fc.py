"""Class centres on one rank: samples. Several ranks: tests/engine/test_distributed.py."""

import pytest
import torch
from torch.nn import functional as F

from autofr.losses import ArcFace, SphereFace2, SubCentreArcFace
from autofr.losses.partial_fc import PartialFC

CLASSES, DIM = 50, 8


def head(rate: float, sub_centres: int = 1) -> tuple[PartialFC, torch.optim.SGD]:
    torch.manual_seed(0)
    made = PartialFC(CLASSES, DIM, sub_centres, rate).double()
    made._momentum = [momentum.double() for momentum in made._momentum]
    return made, torch.optim.SGD(made.parameters_to_train, lr=0.1, momentum=0.9, weight_decay=0.01)


def batch(rows: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, DIM, generator=generator, dtype=torch.float64), torch.tensor([3, 3, 0, 49, 17, 20][:rows])


def step(made: PartialFC, optimizer: torch.optim.SGD, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    made.draw(labels, optimizer, [len(labels)])
    loss = made(embeddings, labels, ArcFace(0.3, s=8.0))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    made.keep(optimizer)
    return loss.detach()


def test_at_rate_1_it_is_the_full_softmax() -> None:
    made, _ = head(1.0)
    embeddings, labels = batch()
    embeddings.requires_grad_()
    centres = made.blocks[0].detach().clone().requires_grad_()
    loss = ArcFace(0.3, s=8.0)
    cosines = F.normalize(embeddings, dim=1) @ F.normalize(centres, dim=1).T
    expected = loss(cosines, labels)
    wanted = torch.autograd.grad(expected, (embeddings, centres))
    found = made(embeddings, labels, loss)
    found.backward()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(embeddings.grad, wanted[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(made.blocks[0].grad, wanted[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5])
def test_a_step_meets_every_class_of_its_faces_and_so_many_others(rate: float) -> None:
    made, optimizer = head(rate)
    _, labels = batch()
    met = set()
    for seed in range(500):
        torch.manual_seed(seed)
        made.draw(labels, optimizer, [len(labels)])
        rows = made._rows.tolist()
        assert len(rows) == len(set(rows)) == max(round(rate * CLASSES), len(labels))
        assert set(labels.tolist()) <= set(rows)
        assert torch.equal(made.met[0].detach(), made.blocks[0].detach()[made._rows])
        met |= set(rows)
    assert met == set(range(CLASSES))


def test_a_sampled_loss_is_that_of_the_rows_met() -> None:
    made, optimizer = head(0.3)
    embeddings, labels = batch()
    made.draw(labels, optimizer, [len(labels)])
    rows = made._rows
    places = torch.tensor([rows.tolist().index(label) for label in labels.tolist()])
    cosines = F.normalize(embeddings, dim=1) @ F.normalize(made.blocks[0].detach()[rows], dim=1).T
    for loss in (ArcFace(0.3, s=8.0), SphereFace2(0.2, r=8.0)):
        torch.testing.assert_close(made(embeddings, labels, loss), loss(cosines, places), rtol=1e-6, atol=1e-6)


def test_momentum_of_a_row_is_that_of_the_steps_that_met_it() -> None:
    """Against SGD written out, for each row over the steps in which it was drawn; the others stay to the bit."""
    made, optimizer = head(0.3)
    weights = made.blocks[0].detach().clone()
    momenta = torch.zeros_like(weights)
    embeddings, labels = batch()
    for seed in range(12):
        torch.manual_seed(seed)
        step(made, optimizer, embeddings, labels)
        rows = made._rows
        grad = made.met[0].grad
        assert grad is not None
        # met holds the rows after the step: what it was before is in our own copy
        momenta[rows] = 0.9 * momenta[rows] + grad + 0.01 * weights[rows]
        weights[rows] -= 0.1 * momenta[rows]
        torch.testing.assert_close(made.blocks[0].detach(), weights, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(made.momentum(0, optimizer), momenta, rtol=1e-12, atol=1e-12)
        weights, momenta = made.blocks[0].detach().clone(), made._momentum[0].clone()


def test_a_sample_of_nearly_all_trains_as_all_do() -> None:
    """At the largest rate below 1 every class is met, and momentum is as SGD's own."""
    sampled, optimizer = head(1 - 1e-9)
    full, other = head(1.0)
    embeddings, labels = batch()
    for _ in range(5):
        torch.testing.assert_close(step(sampled, optimizer, embeddings, labels), step(full, other, embeddings, labels))
    torch.testing.assert_close(sampled.blocks[0], full.blocks[0], rtol=1e-10, atol=1e-12)


def test_sub_centres_are_met_together() -> None:
    made, optimizer = head(0.3, sub_centres=3)
    embeddings, labels = batch()
    loss = SubCentreArcFace(0.3, k=3, s=8.0)
    made.draw(labels, optimizer, [len(labels)])
    made(embeddings, labels, loss).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in made.met)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1])
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0, up to 1"):
        PartialFC(10, 4, rate=rate)
