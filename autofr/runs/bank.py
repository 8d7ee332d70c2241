"""The weight bank: what passes the best weights from one generation to the next."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from autofr.backbones.slices import put, window
from autofr.runs.pareto import ParetoSet, Point

State: TypeAlias = dict[str, Tensor]


SCORED = "scored."
"""What the names in a :class:`Member`'s state begin with that are of its network as it was scored."""


@dataclass(frozen=True)
class Place:
    """What one member of the population is in a generation, whichever process trains it.

    Attributes:
        index, network, key, elastic: see :class:`Member`.
    """

    index: int
    network: str
    key: str
    elastic: bool


@dataclass
class Entry:
    """Weights in the bank, and where they came from.

    Attributes:
        state: what members of the key continue from, as :meth:`Member.state` gives it; of an elastic backbone, in the
            shapes of the largest variant.
        generation, member: whose they are, or (elastic) who was the best of those that they come from; -1: the initial
            weights.
        best: the tensors of that member's network as it was scored, where they are others than those in ``state``.
    """

    state: State
    generation: int = -1
    member: int = -1
    best: State | None = None

    def backbone(self) -> State:
        """The tensors of that member's network."""
        if self.best is not None:
            return self.best
        return network_of(self.state)


FORGIVEN = 0.02
"""How much worse a reward makes a member count a factor e less in the mean."""


class WeightBank:
    """The best weights by structural key. Members of one key all continue from its entry, so with one backbone the
    bank is MAN's "share the best model"; unrelated backbones each have their own.

    The variants of an elastic backbone have one entry, of the largest one's shapes, where every weight is the mean over
    the generation's members that hold it (HeteroFL, Diao et al., ICLR 2021), the better ones counting more. If the best
    variant's weights went to all as they are, the first winner's shape would stay ahead of every other, which its
    weights do not suit.

    Attributes:
        entries: by key.
        pareto: the networks that nothing beats in both error and cost, where networks are searched.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.pareto = ParetoSet()

    def update(
        self,
        members: Sequence[Place],
        rewards: Sequence[float],
        generation: int,
        state_of: Callable[[int], State],
    ) -> int:
        """Take, for every key, the weights of the member with the highest reward of this generation.

        A member whose reward is NaN is never taken; the lower index wins a tie.

        Args:
            members: all of the population, wherever they are.
            rewards: of each.
            generation: which one.
            state_of: a copy of a member's state, by its place in ``members``.

        Returns:
            Index of the best member of all.
        """
        best: dict[str, int] = {}
        ranked = ranking(rewards)
        for i in ranked:
            best[members[i].key] = i
        for key, i in best.items():
            if members[i].elastic:
                mine = [j for j in ranked if members[j].key == key]
                shares = [math.exp((rewards[j] - rewards[i]) / FORGIVEN) for j in mine]
                parts = [state_of(j) for j in mine]
                state = self._merged(key, [*map(_trained, parts)], shares)
                self.entries[key] = Entry(state, generation, members[i].index, network_of(parts[-1]))
            else:
                state = state_of(i)
                scored = _below(SCORED, state) or None
                self.entries[key] = Entry(_trained(state), generation, members[i].index, scored)
        return ranked[-1]

    def _merged(self, key: str, parts: Sequence[State], shares: Sequence[float]) -> State:
        """The entry of ``key`` after its members' states, the best one last: every number the mean over those that hold
        it, and as it was where none does. What is no average (a count) is the best one's."""
        state = {name: tensor.clone() for name, tensor in self.entries[key].state.items()}
        for name in dict.fromkeys(name for part in parts for name in part):
            mine = [(part[name], share) for part, share in zip(parts, shares, strict=True) if name in part]
            if not state[name].is_floating_point() or name == "scaler":
                put(state, {name: mine[-1][0]})
                continue
            total, held = torch.zeros_like(state[name]), torch.zeros_like(state[name])
            for tensor, share in mine:
                place = window(total.shape, tensor.shape)
                total[place] += share * tensor.to(total.device)
                held[place] += share
            state[name] = torch.where(held > 0, total / held.clamp(min=1e-30), state[name])
        return state

    def offer(
        self,
        members: Sequence[Place],
        rewards: Sequence[float],
        costs: Sequence[float],
        generation: int,
        state_of: Callable[[int], State],
    ) -> None:
        """Show the members to the Pareto set; one whose reward is NaN is not."""
        for i, (member, reward, cost) in enumerate(zip(members, rewards, costs, strict=True)):
            point = Point(member.network, -reward, cost, generation, member.index)
            if not math.isnan(reward) and self.pareto.takes(point):
                self.pareto.offer(replace(point, tensors=network_of(state_of(i))))


def ranking(rewards: Sequence[float]) -> list[int]:
    """The members whose reward is not NaN, the best one last; of equals, the lower index comes later."""
    return sorted((i for i, r in enumerate(rewards) if not math.isnan(r)), key=lambda i: (rewards[i], -i))


def leader(rewards: Sequence[float]) -> int:
    """The member whose weights the others of its key continue."""
    return ranking(rewards)[-1]


def network_of(state: State) -> State:
    """The tensors of a member's network as it was scored, of its state."""
    return _below(SCORED, state) or _below("backbone.", state)


def _below(prefix: str, state: State) -> State:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _trained(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith(SCORED)}
