"""The weight bank of an elastic backbone: one entry, slices out, their mean in."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autofr import AutofrError, Choice, Elastic, SearchSpace
from autofr.data import Faces
from autofr.data.loader import Batch, TrainingBatches
from autofr.data.sources import FacesSource
from autofr.engine.member import Member
from autofr.engine.population import Population
from autofr.io.files import sha256
from autofr.losses import ArcFace
from autofr.runs.bank import FORGIVEN, WeightBank
from autofr.runs.bank_file import load_bank, save_bank
from autofr.training.batchnorm import recalibrate
from autofr.training.recipe import Recipe

CPU = torch.device("cpu")
RECIPE = Recipe(image_size=32, embedding_dim=16, scale=24)
SPACE = SearchSpace(
    loss=Choice(ArcFace(0.1), ArcFace(0.3)),
    backbone=Elastic("iresnet:widths=32-64,stem=2", depth=("1-1", "1-2"), width=(0.5, 1.0), kernel=(3, 5)),
)
SMALL = {"loss": 0, "depth": 0, "width": 0, "kernel": 0}
WIDE = {"loss": 1, "depth": 0, "width": 1, "kernel": 0}
LARGE = {"loss": 1, "depth": 1, "width": 1, "kernel": 1}
FIRST = "backbone.stages.0.0.residual.1.weight"
"""A convolution of 16 channels and side 3 in the small variant, 32 in the wide one, and of side 5 in the large one."""
LAST = "backbone.stages.1.1.residual.1.weight"
"""One that the large variant alone has."""


def states_of(members: Sequence[Member]) -> Callable[[int], dict[str, torch.Tensor]]:
    """What a mesh of one rank gives of each member."""
    return lambda i: members[i].state()


@pytest.fixture(scope="module")
def batch(tiny_faces: Faces) -> Batch:
    return next(TrainingBatches(FacesSource(tiny_faces, 16, 0), 0.2, 0, CPU).batches(0, 1))


def population(space: SearchSpace = SPACE, size: int = 2, **settings: Any) -> Population:
    return Population(space, replace(RECIPE, **settings), size, classes=12, seed=0, device=CPU)


def trained(crew: Population, bank: WeightBank, batch: Batch, *assignments: dict[str, int]) -> list[Member]:
    members = crew.take(assignments, bank)
    for member in members:
        member.step(batch, 0.1, 1.0)
        assert member.failure is None
    return members


def test_a_family_has_one_entry_of_the_largest_shapes_and_variants_start_from_it() -> None:
    bank = WeightBank()
    members = population().take([SMALL, LARGE], bank)
    assert list(bank.entries) == [SPACE.family("")] == [members[0].key]
    state = bank.entries[members[0].key].state
    assert state[FIRST].shape == (32, 32, 5, 5)
    assert torch.equal(members[0].state()[FIRST], state[FIRST][:16, :16, 1:4, 1:4])
    assert torch.equal(members[1].state()[FIRST], state[FIRST])
    assert torch.equal(members[0].state()["centres"], members[1].state()["centres"])


def test_the_entry_does_not_hang_on_who_is_drawn_first() -> None:
    one, other = WeightBank(), WeightBank()
    population().take([SMALL, LARGE], one)
    population().take([LARGE, WIDE], other)
    (a,), (b,) = one.entries.values(), other.entries.values()
    assert all(torch.equal(a.state[name], b.state[name]) for name in a.state)


def test_a_weight_becomes_the_mean_over_those_that_hold_it(batch: Batch) -> None:
    """By hand: inside both slices, inside one, and outside all; the better member counts more."""
    bank, crew = WeightBank(), population()
    small, wide = trained(crew, bank, batch, SMALL, WIDE)
    before = bank.entries[small.key].state[FIRST].clone()
    assert bank.update([small, wide], [-0.5, -0.5 + FORGIVEN], 3, states_of([small, wide])) == 1
    entry = bank.entries[small.key]
    share = math.exp(-1)
    mine, theirs, now = small.state()[FIRST], wide.state()[FIRST], entry.state[FIRST]
    expected = (share * mine + theirs[:16, :16]) / (share + 1)
    torch.testing.assert_close(now[:16, :16, 1:4, 1:4], expected)
    torch.testing.assert_close(now[16:, :, 1:4, 1:4], theirs[16:])
    assert torch.equal(now[:, :, 0], before[:, :, 0])  # the rim of the large kernel: nobody's
    centres = (share * small.state()["centres"] + wide.state()["centres"]) / (share + 1)
    torch.testing.assert_close(entry.state["centres"], centres)
    momentum = entry.state[f"momentum.{FIRST}"]
    torch.testing.assert_close(momentum[16:, :, 1:4, 1:4], wide.state()[f"momentum.{FIRST}"][16:])
    assert not momentum[:, :, 0].any()
    assert (entry.generation, entry.member) == (3, 1)
    assert not entry.state[f"momentum.{LAST}"].any()
    assert torch.equal(entry.backbone()[FIRST.removeprefix("backbone.")], theirs)


def test_one_variant_alone_comes_back_as_it_was(batch: Batch) -> None:
    """What it learned, momentum and counts too: it trains on as if it had kept it."""
    bank, crew = WeightBank(), population(size=1)
    (member,) = trained(crew, bank, batch, SMALL)
    kept = member.state()
    bank.update([member], [-0.3], 0, states_of([member]))
    (again,) = population(size=1).take([SMALL], bank)
    assert kept.keys() == again.state().keys()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in again.state().items())


def test_a_diverged_member_leaves_no_trace(batch: Batch) -> None:
    bank, crew = WeightBank(), population()
    small, large = trained(crew, bank, batch, SMALL, LARGE)
    before = bank.entries[small.key].state[LAST].clone()
    bank.update([small, large], [-0.5, math.nan], 0, states_of([small, large]))
    assert torch.equal(bank.entries[small.key].state[LAST], before)
    assert torch.equal(bank.entries[small.key].state[FIRST][:16, :16, 1:4, 1:4], small.state()[FIRST])
    bank.offer([small, large], [-0.5, math.nan], [1.0, 0.5], 0, states_of([small, large]))
    assert [point.backbone for point in bank.pareto.points] == [small.network]


def test_a_bank_comes_back_from_its_file_the_same_bytes(batch: Batch, tmp_path: Path) -> None:
    bank, crew = WeightBank(), population()
    members = trained(crew, bank, batch, SMALL, LARGE)
    bank.update(members, [-0.5, -0.4], 0, states_of(members))
    bank.offer(members, [-0.5, -0.4], [1e6, 2e6], 0, states_of(members))
    save_bank(tmp_path / "a.safetensors", bank)
    again = load_bank(tmp_path / "a.safetensors")
    save_bank(tmp_path / "b.safetensors", again)
    assert sha256(tmp_path / "a.safetensors") == sha256(tmp_path / "b.safetensors")
    assert [point.said() for point in again.pareto.points] == [point.said() for point in bank.pareto.points]
    for one, other in zip(again.pareto.points, bank.pareto.points, strict=True):
        assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in other.tensors)
    (entry,), (kept,) = again.entries.values(), bank.entries.values()
    assert all(torch.equal(entry.backbone()[name], tensor) for name, tensor in kept.backbone().items())


def test_a_policy_that_does_not_heed_the_budgets_is_told() -> None:
    crew = population(SPACE.within([(0, 0, 0)]))
    with pytest.raises(AutofrError, match="beyond the space's constraints"):
        crew.take([SMALL, LARGE], WeightBank())


def test_unrelated_backbones_keep_their_own(batch: Batch) -> None:
    space = SearchSpace(loss=Choice(ArcFace(0.1)), backbone=Choice("ir_mini-w0.5", "mobilefacenet:width=0.5,depth=1"))
    bank, crew = WeightBank(), population(space)
    members = trained(crew, bank, batch, {"loss": 0, "backbone": 0}, {"loss": 0, "backbone": 1})
    bank.update(members, [-0.5, -0.4], 0, states_of(members))
    for member in members:
        entry = bank.entries[member.network]
        assert all(torch.equal(entry.state[name], tensor) for name, tensor in member.state().items())
    centres = [bank.entries[member.network].state["centres"] for member in members]
    assert not torch.equal(*centres)


def test_only_members_of_other_keys_are_helped(batch: Batch) -> None:
    """With a guide, a member of the guide's key trains as without; another learns from its relations too."""
    space = SearchSpace(loss=Choice(ArcFace(0.1)), backbone=Choice("ir_mini-w0.5", "ir_mini-w0.75"))
    recipe = Recipe(image_size=32, embedding_dim=16, scale=24, distil=1.0)
    drawn = [{"loss": 0, "backbone": 0}, {"loss": 0, "backbone": 1}]
    told = Batch(batch.images, batch.labels, torch.eye(len(batch.labels)), "ir_mini-w0.5")
    states = []
    for given in (batch, told):
        members = Population(space, recipe, 2, 12, 0, CPU).take(drawn, WeightBank())
        for member in members:
            member.step(given, 0.1, 1.0)
        states.append([member.state() for member in members])
    (own, other), (own_told, other_told) = states
    assert all(torch.equal(own_told[name], tensor) for name, tensor in own.items())
    assert not torch.equal(other_told["backbone.head.2.weight"], other["backbone.head.2.weight"])


def test_variants_are_settled_on_the_last_batches_that_they_met(tiny_faces: Faces) -> None:
    """Their BatchNorm averages are those over the last eight; unrelated networks keep their running ones."""
    met = list(TrainingBatches(FacesSource(tiny_faces, 8, 0), 0.2, 0, CPU).batches(0, 11))
    plain = SearchSpace(loss=Choice(ArcFace(0.1)), backbone=Choice("ir_mini-w0.5"))
    for space, drawn in ((SPACE, [SMALL, LARGE]), (plain, [{"loss": 0, "backbone": 0}])):
        crew = population(space, len(drawn), average=False)
        members = crew.take(drawn, WeightBank())
        for member in members:
            for batch in met:
                member.step(batch, 0.1, 1.0)
        expected = [copy.deepcopy(member.backbone) for member in members]
        for net in expected if space is SPACE else ():
            recalibrate(net, [batch.images for batch in met[-8:]])
        trained = [copy.deepcopy(member.backbone) for member in members]
        assert crew.settled(members) == [None] * len(members)
        for member, net, before in zip(members, expected, trained, strict=True):
            with member.as_scored() as scored:
                found = {name: tensor.clone() for name, tensor in scored.state_dict().items()}
            assert all(torch.equal(found[name], tensor) for name, tensor in net.state_dict().items())
            after = member.backbone.state_dict()
            assert all(torch.equal(after[name], tensor) for name, tensor in before.state_dict().items())
            assert member.backbone.training


def test_a_network_that_fails_to_settle_is_its_members_trouble(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = population()
    members = trained(crew, WeightBank(), batch, SMALL, LARGE)
    monkeypatch.setattr(members[0].backbone, "forward", lambda images: 1 / 0)
    assert crew.settled(members) == ["failed: ZeroDivisionError: division by zero", None]
