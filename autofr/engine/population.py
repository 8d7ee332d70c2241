"""The members of a search, and how they take on a generation's assignments."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from autofr.backbones import create_backbone
from autofr.compute.mesh import ALONE, Mesh
from autofr.compute.seeding import seeded
from autofr.engine.member import Member
from autofr.exceptions import AutofrError
from autofr.runs.bank import Entry, Place, State, WeightBank
from autofr.runs.record import Record
from autofr.space.space import Assignment, SearchSpace
from autofr.training.distillation import Guide
from autofr.training.recipe import Recipe


class Population:
    """The members, and how they take on a generation's assignments.

    Args:
        space: what may be drawn.
        recipe: how they train, and the backbone where the space does not search it.
        size: how many members.
        classes: training identities.
        seed: decides the initial weights, the same for every member of a key.
        device: where they live.
        mesh: which of them live here.

    Attributes:
        places: what every member of the generation is, wherever it is.
        members: those that are here.
    """

    def __init__(
        self,
        space: SearchSpace,
        recipe: Recipe,
        size: int,
        classes: int,
        seed: int,
        device: torch.device,
        mesh: Mesh = ALONE,
    ) -> None:
        self.space, self.recipe, self.classes, self.seed, self.device = space, recipe, classes, seed, device
        self.size, self.mesh = size, mesh
        self.places: list[Place] = []
        self.members: list[Member] = []

    def take(self, assignments: Sequence[Assignment], bank: WeightBank) -> list[Member]:
        """The members that are here, each with its assignment's backbone and loss, and its key's weights from the bank.

        Raises:
            AutofrError: an assignment is beyond the space's budgets, or the bank's weights are of other networks.
        """
        previous = {member.index: member for member in self.members}
        self.places, self.members = [], []
        for index, assignment in enumerate(assignments):
            network = self.space.backbone(assignment, self.recipe.backbone)
            if not self.space.allows(assignment):
                raise AutofrError(f"the policy drew {network}, which is beyond the space's constraints; heed allows()")
            key = self.space.family(network)
            self.places.append(Place(index, network, key, self.space.elastic is not None))
            here = self.mesh.holds(index)
            member = previous.get(index)
            same = member is not None and member.network == network
            if not same and (here or key not in bank.entries):
                member = self._new(index, network)
            if key not in bank.entries:  # on every rank alike: initial weights follow from the seed
                first = member if network == key and not same and member is not None else self._new(index, key)
                bank.entries[key] = Entry(first.state())
            if not here or member is None:
                continue
            try:
                member.load(bank.entries[member.key].state)
            except (KeyError, RuntimeError, ValueError) as error:  # a checkpoint of another network or search
                raise AutofrError(f"the weights of {member.key} in the checkpoint do not fit: {error}") from error
            member.begin(assignment["loss"])
            self.members.append(member)
        return self.members

    def settled(self, members: Sequence[Member]) -> list[str | None]:
        """After a segment, before scoring: :meth:`Member.settle` of each, and what disqualifies it
        (:meth:`Member.trouble`).

        Args:
            members: all that are here, or one that trained alone.

        Raises:
            Exception: the whole population is here, and failed; what the first one's loss or network raised.
        """
        for member in members:
            member.settle()
        failures = [member.failure for member in members]
        if len(members) == self.size and failures[0] is not None and None not in failures:
            raise failures[0]
        return self.mesh.first_said([member.trouble() for member in members])

    def state_of(self, index: int) -> State:
        """The state of any member, wherever it is; a copy. Every rank has to ask for the same one."""
        mine = {member.index: member for member in self.members}
        return self.mesh.spread(index, lambda: mine[index].state(), self.device)

    def guide(self, bank: WeightBank, last: Record | None) -> Guide | None:
        """Whose embeddings help the members of other keys: the best of the ``last`` generation. ``None``: nobody's."""
        if self.recipe.distil == 0 or last is None:
            return None
        key, network = last.keys[last.winner], last.network
        if all(place.key == key for place in self.places):
            return None
        net = create_backbone(network, self.recipe.image_size, self.recipe.embedding_dim)
        net.load_state_dict(bank.entries[key].backbone())
        return Guide(key, net.to(self.device))

    def _new(self, index: int, network: str) -> Member:
        with seeded(self.seed, f"initial weights of {network}"):
            return Member(index, network, self.space, self.recipe, self.classes, self.device, self.mesh)
