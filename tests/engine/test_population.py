import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from autofr import Choice, SearchSpace
from autofr.data import Faces
from autofr.data.loader import Batch, TrainingBatches
from autofr.data.sources import FacesSource
from autofr.engine.member import Member
from autofr.engine.population import Population
from autofr.losses import ArcFace, CosFace, MarginLoss
from autofr.runs.bank import WeightBank
from autofr.training.recipe import Recipe

CPU = torch.device("cpu")
SPACE = SearchSpace(loss=Choice(ArcFace(0.1), CosFace(0.3, s=8)))
RECIPE = Recipe(backbone="ir_mini-w0.25", image_size=32, embedding_dim=16, scale=24)


def states_of(members: Sequence[Member]) -> Callable[[int], dict[str, torch.Tensor]]:
    """What a mesh of one rank gives of each member."""
    return lambda i: members[i].state()


@pytest.fixture(scope="module")
def batch(tiny_faces: Faces) -> Batch:
    return next(TrainingBatches(FacesSource(tiny_faces, 16, 0), 0.2, 0, CPU).batches(0, 1))


def population(space: SearchSpace = SPACE, size: int = 3) -> Population:
    return Population(space, RECIPE, size, classes=12, seed=0, device=CPU)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


def test_members_of_a_key_start_alike() -> None:
    members = population().take([{"loss": 0}, {"loss": 1}, {"loss": 0}], WeightBank())
    assert same(members[0].state(), members[1].state())
    assert [str(m.loss) for m in members] == ["ArcFace(m=0.1, s=24)", "CosFace(m=0.3, s=8)", "ArcFace(m=0.1, s=24)"]
    assert str(SPACE.dimensions["loss"].options[0]) == "ArcFace(m=0.1)"


def test_a_step_is_sgd_on_the_margin_loss(batch: Batch) -> None:
    """Against torch's own SGD on the loss written out."""
    member = population().take([{"loss": 0}] * 3, WeightBank())[0]
    reference = population().take([{"loss": 0}] * 3, WeightBank())[0]
    centres = reference.centres[0].detach().clone().requires_grad_()
    parameters = [centres, *reference.backbone.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=1e-4)
    for _ in range(3):
        member.step(batch, lr=0.05, ramp=0.5)
        embedding = torch.nn.functional.normalize(reference.backbone(batch.images))
        cosines = embedding @ torch.nn.functional.normalize(centres).T
        theta = cosines.clamp(-1, 1).gather(1, batch.labels[:, None]).acos()
        logits = 24 * cosines.scatter(1, batch.labels[:, None], (theta + 0.05).cos())
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, batch.labels).backward()
        torch.nn.utils.clip_grad_norm_(parameters, RECIPE.clip)
        optimizer.step()
    torch.testing.assert_close(member.centres[0], centres, rtol=1e-3, atol=1e-5)
    assert 0 < member.mean_loss < 30


def test_state_carries_everything(batch: Batch) -> None:
    """A member that loads another's state trains on exactly as that one does: weights, BatchNorm, centres, momentum."""
    one, two, _ = population().take([{"loss": 0}] * 3, WeightBank())
    for _ in range(2):
        one.step(batch, 0.1, 1.0)
    assert not same(one.state(), two.state())
    two.load(one.state())
    assert same(one.state(), two.state())
    assert any(name.startswith("momentum.backbone.") for name in one.state())
    one.step(batch, 0.1, 1.0)
    two.step(batch, 0.1, 1.0)
    assert same(one.state(), two.state())


def test_the_loss_is_swapped_without_touching_the_centres(batch: Batch) -> None:
    bank = WeightBank()
    crew = population()
    members = crew.take([{"loss": 0}] * 3, bank)
    members[1].step(batch, 0.1, 1.0)
    bank.update(members, [-0.5, -0.1, -0.5], 0, states_of(members))
    centres = members[1].centres[0].detach().clone()
    again = crew.take([{"loss": 1}] * 3, bank)
    assert all(torch.equal(m.centres[0], centres) for m in again)
    assert str(again[0].loss) == "CosFace(m=0.3, s=8)"


class Averaging(MarginLoss):
    """A loss with state: an average of what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def target(self, cosine: torch.Tensor) -> torch.Tensor:
        self.mean.lerp_(cosine.detach().mean(), 0.5)
        return cosine


def test_loss_state_travels_with_the_weights(batch: Batch) -> None:
    space = SearchSpace(loss=Choice(ArcFace(0.1), Averaging()))
    bank, crew = WeightBank(), population(space, 2)
    members = crew.take([{"loss": 0}, {"loss": 1}], bank)
    members[1].step(batch, 0.1, 1.0)
    assert members[1].state()["losses.1.mean"] != 0
    bank.update(members, [-0.9, -0.1], 0, states_of(members))
    members = crew.take([{"loss": 1}, {"loss": 0}], bank)
    assert members[0].state()["losses.1.mean"] == members[1].state()["losses.1.mean"] != 0
    assert float(space.dimensions["loss"].options[1].mean) == 0


def test_the_bank_takes_the_best_and_ties_go_to_the_lower_index(batch: Batch) -> None:
    members = population().take([{"loss": 0}] * 3, WeightBank())
    for member, steps in zip(members, (1, 2, 3), strict=True):
        for _ in range(steps):
            member.step(batch, 0.1, 1.0)
    for rewards, expected in (([-0.5, -0.2, -0.9], 1), ([-0.3, -0.3, -0.3], 0), ([math.nan, -0.4, -0.4], 1)):
        bank = WeightBank()
        assert bank.update(members, rewards, 7, states_of(members)) == expected
        entry = bank.entries[RECIPE.backbone]
        assert (entry.generation, entry.member) == (7, expected)
        assert same(entry.state, members[expected].state())


def test_each_backbone_has_its_own_entry(batch: Batch) -> None:
    space = SearchSpace(loss=Choice(ArcFace(0.1)), backbone=Choice("ir_mini-w0.25", "timm/resnet10t"))
    bank, crew = WeightBank(), population(space)
    members = crew.take([{"loss": 0, "backbone": 0}, {"loss": 0, "backbone": 1}, {"loss": 0, "backbone": 1}], bank)
    for member in members:
        member.step(batch, 0.1, 1.0)
    assert bank.update(members, [-0.5, -0.4, -0.3], 0, states_of(members)) == 2
    assert {k: e.member for k, e in bank.entries.items()} == {"ir_mini-w0.25": 0, "timm/resnet10t": 2}
    # Roles change: each takes its new key's weights.
    swapped = crew.take([{"loss": 0, "backbone": 1}, {"loss": 0, "backbone": 0}, {"loss": 0, "backbone": 1}], bank)
    assert same(swapped[0].state(), bank.entries["timm/resnet10t"].state)
    assert same(swapped[1].state(), bank.entries["ir_mini-w0.25"].state)
    # A generation that does not draw a backbone leaves its entry.
    for member in crew.take([{"loss": 0, "backbone": 0}] * 3, bank):
        assert member.key == "ir_mini-w0.25"
    bank.update(crew.members, [-0.1, -0.2, -0.3], 1, states_of(crew.members))
    assert bank.entries["timm/resnet10t"].generation == 0


def test_a_diverged_member_shows(batch: Batch, tiny: dict[str, Any]) -> None:
    member: Member = population().take([{"loss": 0}] * 3, WeightBank())[0]
    member.step(Batch(batch.images * math.nan, batch.labels), 0.1, 1.0)
    assert math.isnan(member.mean_loss)


def test_what_is_scored_and_kept_is_the_mean_of_the_second_half(batch: Batch) -> None:
    """And everyone goes on from the weights as they were."""
    crew, bank = population(size=2), WeightBank()
    members = crew.take([{"loss": 0}, {"loss": 1}], bank)
    seen: list[list[torch.Tensor]] = []
    for step in range(6):
        for member in members:
            if step == 3:
                member.half_way()
            member.step(batch, 0.1, 1.0)
        if step >= 3:
            seen.append([p.detach().clone() for p in members[1].backbone.parameters()])
    assert crew.settled(members) == [None, None]
    means = [torch.stack(values).double().mean(0).float() for values in zip(*seen, strict=True)]
    with members[1].as_scored() as network:
        for parameter, mean in zip(network.parameters(), means, strict=True):
            torch.testing.assert_close(parameter.detach(), mean, rtol=1e-5, atol=1e-6)
    bank.update(crew.places, [-0.5, -0.4], 0, crew.state_of)
    entry = bank.entries[RECIPE.backbone]
    names = [name for name, _ in members[1].backbone.named_parameters()]
    for name, last, mean in zip(names, seen[-1], means, strict=True):
        assert torch.equal(entry.state[f"backbone.{name}"], last)
        torch.testing.assert_close(entry.backbone()[name], mean, rtol=1e-5, atol=1e-6)
    assert not any(name.startswith("scored") for name in entry.state)
    crew.take([{"loss": 0}, {"loss": 1}], bank)
    assert all(torch.equal(p, w) for p, w in zip(members[0].backbone.parameters(), seen[-1], strict=True))
    assert members[1].scored is None


def test_without_averaging_what_is_scored_is_the_network_as_it_is(batch: Batch) -> None:
    crew = Population(SPACE, replace(RECIPE, average=False), 1, classes=12, seed=0, device=CPU)
    member = crew.take([{"loss": 0}], WeightBank())[0]
    for step in range(2):
        if step == 1:
            member.half_way()
        member.step(batch, 0.1, 1.0)
    before = {name: tensor.clone() for name, tensor in member.backbone.state_dict().items()}
    assert crew.settled([member]) == [None]
    with member.as_scored() as network:
        assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(name.startswith("scored") for name in member.state())
