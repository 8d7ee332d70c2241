"""Who trains: one backbone, its class centres and all that goes with them."""

from __future__ import annotations

import copy
import math
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn

from autofr.backbones import create_backbone
from autofr.backbones.slices import take
from autofr.compute.collectives import average, shared, sum_over_partners
from autofr.compute.mesh import ALONE, Mesh, contact
from autofr.compute.precision import Precision
from autofr.compute.seeding import seeded
from autofr.data.loader import Batch
from autofr.exceptions import AutofrError, LostContactError
from autofr.losses import MarginLoss
from autofr.losses.partial_fc import PartialFC
from autofr.runs.bank import SCORED, State
from autofr.space.dimensions import Value
from autofr.space.space import SearchSpace
from autofr.training.averaging import MeanWeights, lent
from autofr.training.batchnorm import BATCHES
from autofr.training.distillation import relation_loss
from autofr.training.recipe import Recipe

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
        scored: the tensors of its network as :meth:`settle` left them for scoring; ``None``: as they are in training.
    """

    def __init__(
        self,
        index: int,
        network: str,
        space: SearchSpace,
        recipe: Recipe,
        classes: int,
        device: torch.device,
        mesh: Mesh = ALONE,
    ):
        self.index, self.network, self.key = index, network, space.family(network)
        self.elastic = space.elastic is not None
        self.clip, self.distil, self.average = recipe.clip, recipe.distil, recipe.average
        self.backbone = create_backbone(network, recipe.image_size, recipe.embedding_dim).to(device)
        if device.type == "cuda":  # as batches are; on a CPU it changes nothing
            self.backbone.to(memory_format=torch.channels_last)
        self._choice = space.dimensions["loss"]
        self._pool = [_own(option, recipe.scale) for option in self._choice.options]
        self.losses = nn.ModuleList(self._pool).to(device)
        sub_centres = max(loss.sub_centres for loss in self._pool)
        self.head = PartialFC(classes, recipe.embedding_dim, sub_centres, recipe.class_rate, mesh, device)
        named = [(f"backbone.{n}", p) for n, p in self.backbone.named_parameters()]
        named += [(f"losses.{n}", p) for n, p in self.losses.named_parameters()]
        self.parameters: dict[str, nn.Parameter] = dict(named)
        self.trained = [*self.head.parameters_to_train, *self.parameters.values()]
        self.optimizer = torch.optim.SGD(
            self.trained, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=True
        )
        for parameter in self.trained:  # from the start: a fused step takes all of its parameters' or none
            self.optimizer.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}
        self.loss = self._pool[0]
        self.failure: Exception | None = None
        self.mesh, self.device, self.precision = mesh, device, Precision(recipe.precision)
        self.scaler = self.precision.scaler(device, mesh)
        # On a GPU a small network waits to be told what to do next; what is recorded once and replayed need not be.
        self._replayed = recipe.compile and device.type == "cuda"
        mode = "reduce-overhead" if self._replayed else None
        compiled = cast(nn.Module, torch.compile(self.backbone, mode=mode)) if recipe.compile else self.backbone
        self._forward = shared(compiled, mesh)
        self._sum, self._first, self._steps = torch.zeros((), device=device), torch.zeros((), device=device), 0
        # Images that all members share.
        self._met: deque[Tensor] = deque(maxlen=BATCHES if self.elastic or self.average else 0)
        self._mean = MeanWeights(self.backbone)
        self.scored: State | None = None

    def begin(self, loss: Value) -> None:
        """Start a generation with what ``loss`` means in the space."""
        self.loss = self._choice.pick(self._pool, loss)
        self.failure, self.scored = None, None
        self._met.clear()
        self._mean.stop()
        self._sum = torch.zeros((), device=self.device)
        self._first, self._steps = self._sum, 0

    def step(self, batch: Batch, lr: float, ramp: float) -> None:
        """One SGD step on a batch. What its loss or network raises is its own affair, kept in ``failure``.

        Raises:
            AutofrError: it failed, and other ranks share it: they would wait for it for ever.
        """
        if self.failure is None:
            try:
                self._step(batch, lr, ramp)
            except Exception as error:  # of any code: the loss may be the user's
                self.failure = error
                self._if_shared(error)

    def half_way(self) -> None:
        """Half of a segment is done: from here on weights are averaged, if they are."""
        if self.average:
            self._mean.start()

    def settle(self) -> None:
        """After a segment: the network as it is to be scored.

        That is the mean of its weights over the segment's second half: while the learning rate is high, a step's noise
        hides what an option is worth, and what disturbs least looks best (docs/does-it-work.md). The mean, and a
        variant of an elastic backbone, take BatchNorm averages of their own, over the last batches that were met. Ranks
        that share a member take the mean of theirs. Training goes on from what it was.
        """
        if self._met and self.failure is None:
            try:
                self.scored = self._mean.settled(self._met)
            except Exception as error:  # as in a step: the network may be the user's
                self.failure = error
                self._if_shared(error)
        self._met.clear()
        self._mean.stop()
        for tensors in (self.backbone.buffers(), (self.scored or {}).values()):
            average([t for t in tensors if t.is_floating_point()], self.mesh)

    def as_scored(self) -> AbstractContextManager[nn.Module]:
        """Its network as it is scored, for a block."""
        return nullcontext(self.backbone) if self.scored is None else lent(self.backbone, self.scored)

    def _if_shared(self, error: Exception) -> None:
        if isinstance(error, LostContactError):
            raise error
        if self.mesh.data > 1:
            raise AutofrError(f"member {self.index + 1} failed on one of its ranks: {error}") from error

    def _step(self, batch: Batch, lr: float, ramp: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.loss.ramp = ramp
        self._met.append(batch.images)
        sizes = [*batch.sizes] or [len(batch.labels)]
        if self._replayed:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with self.precision.context(self.device):
            embeddings = self._forward(batch.images).float()
        with seeded(batch.seed, "classes", self.mesh.part) if self.head.rate < 1 else nullcontext():
            self.head.draw(batch.labels, self.optimizer, sizes)
        with seeded(batch.seed, "loss", self.index) if self.mesh.data > 1 else nullcontext():  # all draw the same
            loss = self.head(embeddings, batch.labels, self.loss, sizes)
        if batch.relations is not None and batch.guide != self.key:
            loss = loss + self.distil * relation_loss(embeddings, batch.relations)
        self.optimizer.zero_grad(set_to_none=True)
        with contact() if self.mesh.data > 1 else nullcontext():  # gradients are averaged on the way
            self.scaler.scale(loss).backward()
        self.head.scale_gradients()
        average([p.grad for p in self.losses.parameters() if p.grad is not None], self.mesh)
        self.scaler.unscale_(self.optimizer)
        self._clip_gradients()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.head.keep(self.optimizer)
        self._mean.add()
        if not self._steps:
            self._first = loss.detach()
        self._sum = self._sum + loss.detach()
        self._steps += 1

    def _clip_gradients(self) -> None:
        own = [p for p in self.head.parameters_to_train if p.grad is not None]
        common = [p for p in self.parameters.values() if p.grad is not None]
        if self.mesh.data == 1:
            nn.utils.clip_grad_norm_([*own, *common], self.clip)
            return
        # Each rank has the gradients of its classes; of all else they have the same.
        squares = sum_over_partners(
            nn.utils.get_total_norm([p.grad for p in own if p.grad is not None]) ** 2, self.mesh
        )
        total = (squares + nn.utils.get_total_norm([p.grad for p in common if p.grad is not None]) ** 2).sqrt()
        nn.utils.clip_grads_with_norm_([*own, *common], self.clip, total)

    @property
    def centres(self) -> list[nn.Parameter]:
        """The class centres of this rank, by block (:class:`autofr.losses.partial_fc.PartialFC`)."""
        return [*self.head.blocks]

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
        """All that training changed, copied: weights, BatchNorm buffers, centres, momentum, loss state; and the network
        as it was scored."""
        scored = {f"{SCORED}{name}": tensor for name, tensor in (self.scored or {}).items()}
        return {name: tensor.clone().contiguous() for name, tensor in (self._tensors() | scored).items()}

    def _tensors(self) -> State:
        state = {_centres(k): block.detach() for k, block in enumerate(self.head.blocks)}
        state |= {f"backbone.{n}": t for n, t in self.backbone.state_dict().items()}
        state |= {f"losses.{n}": t for n, t in self.losses.state_dict().items()}
        state |= {f"momentum.{name}": momentum for name, momentum in self._momenta().items()}
        if self.scaler.is_enabled():
            found = self.scaler.state_dict()
            state["scaler"] = torch.tensor([found["scale"], float(found["_growth_tracker"])])
        return {name: tensor.detach() for name, tensor in state.items()}

    def _momenta(self) -> State:
        """SGD's momentum, by parameter: the buffers themselves."""
        found = {_centres(k): self.head.momentum(k, self.optimizer) for k in range(len(self.head.blocks))}
        return found | {n: self.optimizer.state[p]["momentum_buffer"] for n, p in self.parameters.items()}

    @torch.no_grad()
    def load(self, state: State) -> None:
        """Become what :meth:`state` described."""

        def below(prefix: str) -> State:
            return {n[len(prefix) :]: t for n, t in state.items() if n.startswith(prefix)}

        if self.elastic:  # the slices of its family's weights that are its own
            state = take(state, {n: t.shape for n, t in self._tensors().items()})
        for k, block in enumerate(self.head.blocks):
            block.copy_(state[_centres(k)])
        self.backbone.load_state_dict(below("backbone."))
        self.losses.load_state_dict(below("losses."))
        if "scaler" in state and self.scaler.is_enabled():
            scale, steps = state["scaler"].tolist()
            self.scaler.load_state_dict(self.scaler.state_dict() | {"scale": scale, "_growth_tracker": int(steps)})
        for name, momentum in self._momenta().items():
            momentum.copy_(state[f"momentum.{name}"])


def _centres(block: int) -> str:
    return f"centres.{block}" if block else "centres"


def _own(option: MarginLoss, scale: float) -> MarginLoss:
    loss = copy.deepcopy(option)
    if loss.s is None:
        loss.s = scale
    return loss
