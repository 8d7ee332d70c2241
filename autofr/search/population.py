"""Who trains: the members, and the bank that passes the best weights from one generation to the next."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autofr.backbones import create_backbone
from autofr.data.loader import Batch
from autofr.dimensions import Value
from autofr.exceptions import AutofrError
from autofr.losses import MarginLoss
from autofr.seeding import seeded
from autofr.spaces import Assignment, SearchSpace
from autofr.training.recipe import Recipe

State: TypeAlias = dict[str, Tensor]

EXPLODED = 10.0
"""A generation's mean loss that is this many times the loss of its first batch (or 1, if that is less) has exploded."""


class Member:
    """One backbone with its class centres, optimizer and losses.

    It owns a copy of every loss of the space, because a loss may have state of its own (an EMA, say) that has to
    travel with the weights; ``loss`` is the one in use.

    Attributes:
        index: place in the population, from 0.
        key: structural key of its weights: the backbone's name.
        failure: what its loss or network raised since :meth:`begin`; from then on it sits the generation out.
        mean_loss: mean training loss since :meth:`begin`.
    """

    def __init__(self, index: int, key: str, space: SearchSpace, recipe: Recipe, classes: int, device: torch.device):
        self.index, self.key, self.clip = index, key, recipe.clip
        self.backbone = create_backbone(key, recipe.image_size, recipe.embedding_dim).to(device)
        self._choice = space.dimensions["loss"]
        self._pool = [_own(option, recipe.scale) for option in self._choice.options]
        self.losses = nn.ModuleList(self._pool).to(device)
        # The classes' first centres, then their second ones ... A loss with fewer than another uses the first blocks,
        # and the optimizer leaves the others alone: each block is a parameter of its own.
        self.centres = [
            nn.Parameter(torch.randn(classes, recipe.embedding_dim, device=device) * 0.01)
            for _ in range(max(loss.sub_centres for loss in self._pool))
        ]
        named = [(f"centres.{k}" if k else "centres", block) for k, block in enumerate(self.centres)]
        named += [(f"backbone.{n}", p) for n, p in self.backbone.named_parameters()]
        named += [(f"losses.{n}", p) for n, p in self.losses.named_parameters()]
        self.parameters: dict[str, nn.Parameter] = dict(named)
        self.optimizer = torch.optim.SGD(
            self.parameters.values(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        self.loss = self._pool[0]
        self.failure: Exception | None = None
        self._sum, self._first, self._steps = torch.zeros((), device=device), torch.zeros((), device=device), 0

    def begin(self, loss: Value) -> None:
        """Start a generation with what ``loss`` means in the space."""
        self.loss = self._choice.pick(self._pool, loss)
        self.failure = None
        self._sum = torch.zeros((), device=self.centres[0].device)
        self._first, self._steps = self._sum, 0

    def step(self, batch: Batch, lr: float, ramp: float) -> None:
        """One SGD step on a batch. What its loss or network raises is its own affair, kept in ``failure``."""
        if self.failure is None:
            try:
                self._step(batch, lr, ramp)
            except Exception as error:  # of any code: the loss may be the user's
                self.failure = error

    def _step(self, batch: Batch, lr: float, ramp: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.loss.ramp = ramp
        embeddings = self.backbone(batch.images)
        used = self.centres[: self.loss.sub_centres]
        centres = used[0] if len(used) == 1 else torch.cat([*used])
        cosines = F.linear(F.normalize(embeddings, dim=1), F.normalize(centres, dim=1))
        loss = self.loss(cosines.float().clamp(-1, 1), batch.labels, embeddings.float().norm(dim=1))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in self.parameters.values() if p.grad is not None], self.clip)
        self.optimizer.step()
        if not self._steps:
            self._first = loss.detach()
        self._sum = self._sum + loss.detach()
        self._steps += 1

    @property
    def mean_loss(self) -> float:
        return float(self._sum) / max(1, self._steps)

    def trouble(self) -> str | None:
        """What disqualifies it in this generation: it failed, or diverged; ``None``: nothing. Its weights are then
        never anybody's."""
        first, mean = float(self._first), self.mean_loss
        if self.failure is not None:
            told = str(self.failure).splitlines() or [""]
            return f"failed: {type(self.failure).__name__}: {told[0]}"
        if not math.isfinite(mean):
            return f"diverged: its loss is {mean}"
        if mean > EXPLODED * max(1.0, abs(first)):
            return f"diverged: its loss went from {first:.3g} to {mean:.3g} in the mean"
        # Not only what embeds: momentum or a class centre that is infinite would reach the weights a step later.
        broken = next((n for n, t in self._tensors().items() if t.is_floating_point() and not t.isfinite().all()), None)
        return None if broken is None else f"diverged: {broken} is not finite"

    def state(self) -> State:
        """All that training changed, copied: weights, BatchNorm buffers, centres, momentum, loss state."""
        return {name: tensor.clone().contiguous() for name, tensor in self._tensors().items()}

    def _tensors(self) -> State:
        state = {n: p.detach() for n, p in self.parameters.items() if n.startswith("centres")}
        state |= {f"backbone.{n}": t for n, t in self.backbone.state_dict().items()}
        state |= {f"losses.{n}": t for n, t in self.losses.state_dict().items()}
        for name, parameter in self.parameters.items():
            momentum = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                state[f"momentum.{name}"] = momentum
        return {name: tensor.detach() for name, tensor in state.items()}

    @torch.no_grad()
    def load(self, state: State) -> None:
        """Become what :meth:`state` described."""

        def below(prefix: str) -> State:
            return {n[len(prefix) :]: t for n, t in state.items() if n.startswith(prefix)}

        for name, parameter in self.parameters.items():
            if name.startswith("centres"):
                parameter.copy_(state[name])
        self.backbone.load_state_dict(below("backbone."))
        self.losses.load_state_dict(below("losses."))
        self.optimizer.state.clear()
        for name, momentum in below("momentum.").items():
            parameter = self.parameters[name]
            self.optimizer.state[parameter] = {"momentum_buffer": torch.empty_like(parameter).copy_(momentum)}


def _own(option: MarginLoss, scale: float) -> MarginLoss:
    loss = copy.deepcopy(option)
    if loss.s is None:
        loss.s = scale
    return loss


@dataclass
class Entry:
    """Weights in the bank, and the member and generation that they came from (-1: the initial weights)."""

    state: State
    generation: int = -1
    member: int = -1


class WeightBank:
    """The best weights by structural key. Members of one key all continue from its entry, so with one backbone the
    bank is MAN's "share the best model"; unrelated backbones each have their own."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def update(self, members: Sequence[Member], rewards: Sequence[float], generation: int) -> int:
        """Take, for every key, the weights of the member with the highest reward of this generation.

        A member whose reward is NaN is never taken; the lower index wins a tie.

        Returns:
            Index of the best member of all.
        """
        best: dict[str, int] = {}
        for i, (member, reward) in enumerate(zip(members, rewards, strict=True)):
            if not math.isnan(reward) and (member.key not in best or reward > rewards[best[member.key]]):
                best[member.key] = i
        for key, i in best.items():
            self.entries[key] = Entry(members[i].state(), generation, members[i].index)
        return max(best.values(), key=lambda i: (rewards[i], -i))


class Population:
    """The members, and how they take on a generation's assignments.

    Args:
        space: what may be drawn.
        recipe: how they train, and the backbone where the space does not search it.
        size: how many members.
        classes: training identities.
        seed: decides the initial weights, the same for every member of a key.
        device: where they live.
    """

    def __init__(
        self, space: SearchSpace, recipe: Recipe, size: int, classes: int, seed: int, device: torch.device
    ) -> None:
        self.space, self.recipe, self.classes, self.seed, self.device = space, recipe, classes, seed, device
        self.size = size
        self.members: list[Member] = []

    def key(self, assignment: Assignment) -> str:
        """The structural key of an assignment's weights."""
        return str(self.space.option("backbone", assignment)) if "backbone" in self.space else self.recipe.backbone

    def take(self, assignments: Sequence[Assignment], bank: WeightBank) -> list[Member]:
        """The members, each with its assignment's backbone and loss, and its key's weights from the bank."""
        previous = self.members
        self.members = []
        for index, assignment in enumerate(assignments):
            key = self.key(assignment)
            same = index < len(previous) and previous[index].key == key
            member = previous[index] if same else self._new(index, key)
            if key not in bank.entries:
                bank.entries[key] = Entry(member.state() if not same else self._new(index, key).state())
            try:
                member.load(bank.entries[key].state)
            except (KeyError, RuntimeError) as error:  # a checkpoint of another network, or of another search
                raise AutofrError(f"the weights of {key} in the checkpoint do not fit: {error}") from error
            member.begin(assignment["loss"])
            self.members.append(member)
        return self.members

    def troubles(self) -> list[str | None]:
        """What disqualifies each member of this generation (:meth:`Member.trouble`).

        Raises:
            Exception: all of them failed; what the first one's loss or network raised.
        """
        failures = [member.failure for member in self.members]
        if failures[0] is not None and None not in failures:
            raise failures[0]
        return [member.trouble() for member in self.members]

    def _new(self, index: int, key: str) -> Member:
        with seeded(self.seed, f"initial weights of {key}"):
            return Member(index, key, self.space, self.recipe, self.classes, self.device)
