"""What every margin loss shares: cosines in, one scalar out, class centres left alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MarginLoss(nn.Module):
    """Softmax cross-entropy over scaled cosines whose target cosine pays a margin.

    The class centres are not here: they belong to the member that trains, so that its loss can be swapped without
    touching them. A subclass gives :meth:`target` and, if it needs more than the target, :meth:`forward`.

    Args:
        s: scale of the logits (the field's ``s``), above 0. ``None`` leaves it to the run's recipe, which has a
            smaller one for small sets.

    Attributes:
        ramp: share of the margin in force, 0 to 1. The trainer raises it over the first epochs: a full margin on
            random centres makes a small run stall.
    """

    def __init__(self, s: float | None = None) -> None:
        super().__init__()
        if s is not None and not s > 0:
            raise ValueError(f"s is a scale and must be above 0, got {s}")
        self.s = s
        self.ramp = 1.0

    def target(self, cosine: Tensor) -> Tensor:
        """The target cosine after the margin: (B,) in [-1, 1] to (B,), decreasing in the angle."""
        raise NotImplementedError

    def forward(self, cosines: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of a batch.

        Args:
            cosines: (B, C) cosines between embeddings and class centres, floating point, in [-1, 1].
            labels: (B,) int64, the class of each row.

        Returns:
            A scalar of the cosines' dtype.
        """
        if self.s is None:
            raise ValueError(f"{self} has no scale: give s=..., or let a recipe set it")
        index = labels.unsqueeze(1)
        margined = self.target(cosines.gather(1, index).squeeze(1))
        return F.cross_entropy(self.s * cosines.scatter(1, index, margined.unsqueeze(1)), labels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.settings())})"

    def settings(self) -> list[str]:
        """What tells this loss from another of its class, as ``name=value``: its name in tables is made of it."""
        return [] if self.s is None else [f"s={self.s:g}"]


class AdditiveMarginLoss(MarginLoss):
    """A :class:`MarginLoss` with one margin ``m``.

    Args:
        m: the margin; its unit (radians or cosine) and its range are the subclass's.
        s: see :class:`MarginLoss`.
    """

    def __init__(self, m: float, s: float | None = None) -> None:
        super().__init__(s)
        self.m = m

    def settings(self) -> list[str]:
        return [f"m={self.m:g}", *super().settings()]


def sine(cosine: Tensor) -> Tensor:
    """sin θ from cos θ for θ in [0, π], with a gradient that stays finite at both ends.

    The floor is 1e-6 under the root (θ within 1e-3 rad of an end): below it, 1 - cos² in float32 is rounding.
    """
    return torch.sqrt((1 - cosine * cosine).clamp_min(1e-6))
