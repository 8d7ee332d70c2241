"""What every margin loss shares: cosines in, one scalar out, class centres left alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autofr.registry import settings_of, settings_text


class MarginLoss(nn.Module):
    """Softmax cross-entropy over scaled cosines whose target cosine pays a margin.

    The class centres are not here: they belong to the member that trains, so that its loss can be swapped without
    touching them. A subclass gives :meth:`target`; one that changes other cosines too, or hears the embeddings'
    norms, gives :meth:`logits`; one that is no softmax gives :meth:`forward`, and the same sum by
    parts with :meth:`pool`, :meth:`join` and :meth:`cost`, without which ranks cannot share its classes. What it learns
    or averages is a parameter or a buffer: it then travels with the weights and through a resume. Averages move in
    training mode only.

    Args:
        s: scale of the logits (the field's ``s``), above 0. ``None`` leaves it to the run's recipe, which has a
            smaller one for small sets.

    Attributes:
        ramp: share of the margin in force, 0 to 1 (a number or a scalar tensor). The trainer raises it over the first
            epochs: a full margin on random centres makes a small run stall. At 0 a softmax loss is
            :class:`NormSoftmax`.
        sub_centres: centres of each class; the cosines are then (B, sub_centres·C), a whole set of classes at a time.
        classes: how many classes there are, where the cosines are to some of them; ``None``: to all.
    """

    sub_centres = 1
    classes: int | None = None
    _scale_name = "s"

    def __init__(self, s: float | None = None) -> None:
        super().__init__()
        if s is not None and not 0 < s < math.inf:
            raise ValueError(f"{self._scale_name} is a scale and must be above 0 and finite, got {s}")
        self.s = s
        self.ramp: float | Tensor = 1.0

    @property
    def scale(self) -> float:
        """``s``, once it is known.

        Raises:
            ValueError: it is not.
        """
        if self.s is None:
            raise ValueError(f"{self} has no scale: give {self._scale_name}=..., or let a recipe set it")
        return self.s

    def target(self, cosine: Tensor) -> Tensor:
        """The target cosine after the margin: (B,) in [-1, 1] to (B,), falling as the angle grows."""
        raise NotImplementedError

    def logits(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        """What goes into the softmax: (B, C), of the cosines' dtype. Arguments as for :meth:`forward`, with one
        centre a class."""
        return self.scale * with_target(cosines, labels, self.target(of_target(cosines, labels)))

    def forward(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        """The mean loss of a batch.

        Args:
            cosines: (B, C) cosines between embeddings and class centres, floating point, in [-1, 1].
            labels: (B,) int64, the class of each row.
            norms: (B,) lengths of the embeddings before they were normalised; AdaFace and MagFace need them.

        Returns:
            A scalar of the cosines' dtype.
        """
        return F.cross_entropy(self.logits(self.nearest(cosines), labels, norms), labels)

    def nearest(self, cosines: Tensor) -> Tensor:
        """A class's cosine is the largest over its centres: (B, sub_centres·C) to (B, C)."""
        return cosines if self.sub_centres == 1 else cosines.view(len(cosines), self.sub_centres, -1).amax(1)

    def pool(self, others: Tensor) -> Tensor:
        """What :meth:`cost` hears of other classes' logits: (B, K) to (B,), for any K of them. A softmax: log Σ exp."""
        return others.logsumexp(1)

    def join(self, pooled: Tensor) -> Tensor:
        """What :meth:`pool` gives of all classes, from what it gave of each part of them: (B, parts) to (B,)."""
        return pooled.logsumexp(1)

    def cost(self, own: Tensor, others: Tensor, norms: Tensor | None = None) -> Tensor:
        """What each face costs, (B,): :meth:`forward` is the mean of it.

        Args:
            own: (B,) logits of the faces' own classes.
            others: (B,) all other classes' logits, pooled.
            norms: see :meth:`forward`.
        """
        return F.softplus(others - own)

    def _count(self, cosines: Tensor) -> int:
        return cosines.shape[1] if self.classes is None else self.classes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(settings_text(settings_of(self)))})"

    def settings(self) -> dict[str, Any]:
        """Return what tells this loss from another of its class: its arguments by name.

        Its name in tables is made of them, and numbers among them are the coordinates by which a policy knows which
        losses of a pool are alike (:mod:`autofr.policies.kernel`).
        """
        return {} if self.s is None else {self._scale_name: float(self.s)}

    def _norms(self, norms: Tensor | None) -> Tensor:
        if norms is None:
            raise ValueError(f"{self} needs the embeddings' norms: call it with cosines, labels and norms")
        return norms


class AdditiveMarginLoss(MarginLoss):
    """A :class:`MarginLoss` with one margin ``m``.

    Args:
        m: the margin; its unit (radians or cosine) and its range are the subclass's.
        s: see :class:`MarginLoss`.
    """

    def __init__(self, m: float, s: float | None = None) -> None:
        super().__init__(s)
        self.m = m

    def settings(self) -> dict[str, Any]:
        return {"m": float(self.m), **super().settings()}


def other_than(usual: Mapping[str, float], loss: MarginLoss) -> dict[str, float]:
    """Return the settings of ``loss`` whose values are not the ``usual`` ones: tables leave those out."""
    return {name: float(getattr(loss, name)) for name, value in usual.items() if getattr(loss, name) != value}


def goes_by_parts(loss: MarginLoss) -> bool:
    """Whether :meth:`MarginLoss.cost` says the same as ``forward``: not where a subclass gave the latter alone."""
    order = [*type(loss).__mro__]
    first = {name: next(i for i, kind in enumerate(order) if name in vars(kind)) for name in ("forward", "cost")}
    return first["cost"] <= first["forward"]


class BinaryMarginLoss(AdditiveMarginLoss):
    """A margin loss that asks of every class whether the face is of it, instead of which one: what other classes cost
    adds up."""

    def pool(self, others: Tensor) -> Tensor:
        return F.softplus(others).sum(1)

    def join(self, pooled: Tensor) -> Tensor:
        return pooled.sum(1)

    def forward(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        logits = self.logits(cosines, labels, norms)
        others = with_target(F.softplus(logits), labels, torch.zeros_like(logits[:, 0])).sum(1)
        return self.cost(of_target(logits, labels), others, norms).mean()


def of_target(cosines: Tensor, labels: Tensor) -> Tensor:
    """Each row's cosine to its own class: (B, C) to (B,)."""
    return cosines.gather(1, labels.unsqueeze(1)).squeeze(1)


def with_target(cosines: Tensor, labels: Tensor, values: Tensor) -> Tensor:
    """``cosines`` (B, C) with each row's own class replaced by ``values`` (B,)."""
    return cosines.scatter(1, labels.unsqueeze(1), values.unsqueeze(1).to(cosines.dtype))
