"""Class centres: all of a member's, or one rank's part of them, of which each step may meet a sample.

With millions of identities the centres, their momentum and the cosines are what fills the memory. Partial FC (An et
al., ICCV workshops 2021; CVPR 2022) divides the classes among the data ranks, each of which meets the faces of all, and
lets a step meet the classes of its faces and a random part of the others.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autofr.compute.collectives import gather_rows, sum_over_partners
from autofr.compute.mesh import ALONE, Mesh, parts
from autofr.losses.base import MarginLoss

ABSENT = -1e30
"""The logit of a class that is not there: its exponential is 0, and its gradient too."""
_ROWS = 2**14
"""Centres drawn at a time: every rank draws all of them, and keeps its own, whatever their number."""


class PartialFC(nn.Module):
    """The class centres that a margin loss is computed with.

    At ``rate`` 1 the loss and its gradients are those of the full softmax, however many ranks share the classes. Below
    it, a step meets every class of the global batch and so many others at random that it is ``rate`` of the rank's
    classes, and at least the batch's size; the others keep their centres and momentum untouched (their weight
    decay, too, comes when they are met).

    Args:
        classes: how many.
        dim: length of an embedding.
        sub_centres: centres of each.
        rate: share of the classes that a step meets, above 0, up to 1.
        mesh: whose data ranks share the classes.
        device: where.

    Attributes:
        first, last: this rank's classes are ``first`` to ``last - 1``.
        blocks: (last - first, dim) each: the classes' first centres, then their second ones ... A loss with fewer than
            another uses the first blocks, and the optimizer leaves the others alone.
        met: what stands in for ``blocks`` in the optimizer below ``rate`` 1: the rows of the step.
    """

    def __init__(
        self,
        classes: int,
        dim: int,
        sub_centres: int = 1,
        rate: float = 1.0,
        mesh: Mesh = ALONE,
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        if not 0 < rate <= 1:
            raise ValueError(f"the rate of Partial FC is a share of the classes, above 0, up to 1, got {rate}")
        own = mesh.own(classes)
        self.classes, self.rate, self.mesh, self.first, self.last = classes, rate, mesh, own.start, own.stop
        self.blocks = nn.ParameterList(_drawn(classes, dim, own, device) for _ in range(sub_centres))
        self.met: list[nn.Parameter] = []
        self._momentum: list[Tensor] = []
        self._rows = torch.empty(0, dtype=torch.int64, device=device)
        if rate < 1:
            self._momentum = [torch.zeros_like(block) for block in self.blocks]
            self.met = [nn.Parameter(torch.empty(0, dim, device=device)) for _ in self.blocks]

    @property
    def parameters_to_train(self) -> list[nn.Parameter]:
        """What the optimizer is given, a block each."""
        return self.met if self.rate < 1 else [*self.blocks]

    def momentum(self, block: int, optimizer: torch.optim.Optimizer) -> Tensor:
        """SGD's momentum of a block's rows: the buffer itself."""
        found: Tensor = (
            self._momentum[block] if self.rate < 1 else optimizer.state[self.blocks[block]]["momentum_buffer"]
        )
        return found

    def draw(self, labels: Tensor, optimizer: torch.optim.Optimizer, sizes: list[int]) -> None:
        """Choose the classes of a step, from torch's RNG, and hand their rows to ``optimizer``. Nothing at rate 1.

        Args:
            labels: (B,) int64, this rank's.
            optimizer: holds :attr:`met`.
            sizes: faces of each data rank.
        """
        if self.rate == 1:
            return
        everybody = gather_rows(labels, self.mesh, sizes)
        here = self.last - self.first
        wanted = torch.rand(here, device=labels.device)
        inside = (everybody >= self.first) & (everybody < self.last)
        # Those of other ranks are written to a place past the end, so that nothing waits for the device to count.
        wanted = torch.cat([wanted, wanted.new_zeros(1)])
        wanted.scatter_(0, torch.where(inside, everybody - self.first, here), 2.0)
        self._rows = wanted[:here].topk(self._count(here, len(everybody))).indices.sort().values
        for block, (met, momentum) in enumerate(zip(self.met, self._momentum, strict=True)):
            met.data = self.blocks[block].detach()[self._rows]
            optimizer.state[met] = {"momentum_buffer": momentum[self._rows]}

    @torch.no_grad()
    def keep(self, optimizer: torch.optim.Optimizer) -> None:
        """After the optimizer's step: put the rows and their momentum back. Nothing at rate 1."""
        for block, met in enumerate(self.met):
            self.blocks[block][self._rows] = met
            self._momentum[block][self._rows] = optimizer.state[met]["momentum_buffer"]

    def forward(self, embeddings: Tensor, labels: Tensor, loss: MarginLoss, sizes: list[int] | None = None) -> Tensor:
        """The loss of the global batch, a scalar, the same on all data ranks.

        The gradients are those of the *sum* of what the ranks return: means over the ranks, as
        ``DistributedDataParallel`` takes them, are then those of the loss; :meth:`scale_gradients` does it for the
        centres.

        Args:
            embeddings: (B, dim), this rank's.
            labels: (B,) int64, classes among all of them.
            loss: which; with several data ranks one that :func:`autofr.losses.base.goes_by_parts`.
            sizes: B of each data rank; ``None``: alike.
        """
        used = self.parameters_to_train[: loss.sub_centres]
        centres = F.normalize(used[0] if len(used) == 1 else torch.cat([*used]), dim=1)
        sizes = [len(labels)] * self.mesh.data if sizes is None else sizes
        faces = gather_rows(F.normalize(embeddings, dim=1), self.mesh, sizes)
        norms = gather_rows(_full(embeddings).norm(dim=1), self.mesh, sizes)
        everybody = gather_rows(labels, self.mesh, sizes)
        cosines = _full(F.linear(faces, centres.to(faces.dtype))).clamp(-1, 1)
        places = self._places(everybody)
        if self.mesh.data == 1:
            whole: Tensor = loss(cosines, places, norms)
            return whole
        return self._by_parts(loss, loss.nearest(cosines), places, norms)

    def scale_gradients(self) -> None:
        """Make the centres' gradients those of the loss, after backward (see :meth:`forward`)."""
        if self.mesh.data > 1:
            for parameter in self.parameters_to_train:
                if parameter.grad is not None:
                    parameter.grad /= self.mesh.data

    def _places(self, labels: Tensor) -> Tensor:
        """Where among the rows of the step each class is; -1: with another rank."""
        here = self.last - self.first
        inside = (labels >= self.first) & (labels < self.last)
        local = (labels - self.first).clamp(0, here - 1)
        if self.rate < 1:
            place = torch.zeros(here, dtype=torch.int64, device=labels.device)
            place[self._rows] = torch.arange(len(self._rows), device=labels.device)
            local = place[local]
        return local if self.mesh.data == 1 else torch.where(inside, local, -1)

    def _count(self, classes: int, faces: int) -> int:
        """How many of a rank's ``classes`` a step meets: no fewer than the ``faces`` may be of."""
        return classes if self.rate == 1 else max(math.ceil(self.rate * classes), min(classes, faces))

    def _by_parts(self, loss: MarginLoss, cosines: Tensor, places: Tensor, norms: Tensor) -> Tensor:
        """The faces' own cosines come from the rank that has them, and stand first in what the loss sees; what it makes
        of the other classes is pooled here, and joined over the ranks."""
        inside, place = places >= 0, places.clamp(min=0).unsqueeze(1)
        own = torch.where(inside, cosines.gather(1, place).squeeze(1), torch.zeros_like(cosines[:, 0]))
        target = sum_over_partners(own, self.mesh)
        loss.classes = sum(self._count(len(own), len(places)) for own in parts(self.classes, self.mesh.data))
        first = torch.zeros_like(places)
        logits = loss.logits(torch.cat([target.unsqueeze(1), cosines], 1), first, norms)
        left = logits[:, 1:].scatter(
            1, place, torch.where(inside.unsqueeze(1), ABSENT, logits[:, 1:].gather(1, place)).to(logits.dtype)
        )
        pooled = loss.pool(left)
        pooled = gather_rows(pooled.unsqueeze(0), self.mesh, [1] * self.mesh.data).T
        return loss.cost(logits[:, 0], loss.join(pooled), norms).mean()


def _full(tensor: Tensor) -> Tensor:
    """``tensor`` in float32, if it has fewer bits."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _drawn(classes: int, dim: int, own: range, device: torch.device | None) -> nn.Parameter:
    """Random centres, from torch's RNG: the rows of ``own`` among those of all classes."""
    kept = torch.empty(len(own), dim, device=device)
    for start in range(0, classes, _ROWS):
        rows = torch.randn(min(_ROWS, classes - start), dim, device=device) * 0.01
        first, last = max(start, own.start), min(start + len(rows), own.stop)
        if first < last:
            kept[first - own.start : last - own.start] = rows[first - start : last - start]
    return nn.Parameter(kept)
