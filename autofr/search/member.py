"""Who trains: one backbone, its class centres and all that goes with them."""

from __future__ import annotations

import copy
import math
from collections import deque
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autofr.backbones import create_backbone
from autofr.backbones.slices import take
from autofr.data.loader import Batch
from autofr.dimensions import Value
from autofr.losses import MarginLoss
from autofr.spaces import SearchSpace
from autofr.training.batchnorm import BATCHES, recalibrate
from autofr.training.distillation import relation_loss
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
        network: the backbone's name.
        key: structural key of its weights: that name, or its family's if it is a variant of an elastic one.
        elastic: whether it is a variant of an elastic backbone.
        failure: what its loss or network raised since :meth:`begin`; from then on it sits the generation out.
        mean_loss: mean training loss since :meth:`begin`.
    """

    def __init__(
        self, index: int, network: str, space: SearchSpace, recipe: Recipe, classes: int, device: torch.device
    ):
        self.index, self.network, self.key = index, network, space.family(network)
        self.elastic = space.elastic is not None
        self.clip, self.distil = recipe.clip, recipe.distil
        self.backbone = create_backbone(network, recipe.image_size, recipe.embedding_dim).to(device)
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
        self._met: deque[Tensor] = deque(maxlen=BATCHES if self.elastic else 0)  # images that all members share

    def begin(self, loss: Value) -> None:
        """Start a generation with what ``loss`` means in the space."""
        self.loss = self._choice.pick(self._pool, loss)
        self.failure = None
        self._met.clear()
        self._sum = torch.zeros((), device=self.centres[0].device)
        self._first, self._steps = self._sum, 0

    def step(self, batch: Batch, lr: float, ramp: float) -> None:
        """One SGD step on a batch. What its loss or network raises is its own affair, kept in ``failure``."""
        if self.failure is None:
            try:
                self._step(batch, lr, ramp)
            except Exception as error:  # of any code: the loss may be the user's
                self.failure = error

    def settle(self) -> None:
        """After a segment: a variant of an elastic backbone takes BatchNorm averages of its own, over the last batches
        that it met. Those from the bank are of other variants, and a short segment does not replace them."""
        if self._met and self.failure is None:
            try:
                recalibrate(self.backbone, self._met)
            except Exception as error:  # as in a step: the network may be the user's
                self.failure = error
        self._met.clear()

    def _step(self, batch: Batch, lr: float, ramp: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.loss.ramp = ramp
        self._met.append(batch.images)
        embeddings = self.backbone(batch.images)
        used = self.centres[: self.loss.sub_centres]
        centres = used[0] if len(used) == 1 else torch.cat([*used])
        cosines = F.linear(F.normalize(embeddings, dim=1), F.normalize(centres, dim=1))
        loss = self.loss(cosines.float().clamp(-1, 1), batch.labels, embeddings.float().norm(dim=1))
        if batch.relations is not None and batch.guide != self.key:
            loss = loss + self.distil * relation_loss(embeddings, batch.relations)
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

        if self.elastic:  # the slices of its family's weights that are its own
            shapes = {
                name: tensor.shape for name, tensor in self._tensors().items() if not name.startswith("momentum.")
            }
            moving = {f"momentum.{name}": parameter.shape for name, parameter in self.parameters.items()}
            state = take(state, shapes | {name: shape for name, shape in moving.items() if name in state})
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
