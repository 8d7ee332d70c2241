"""SphereFace2: one binary classification for every class."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autofr.losses.base import BinaryMarginLoss, of_target, other_than, with_target
from autofr.losses.cosface import cosine_margin


class SphereFace2(BinaryMarginLoss):
    """SphereFace2-C (Wen et al., ICLR 2022): for every class, is the face of it or not?

    With g(z) = 2((z + 1)/2)^t - 1 and a learned bias b, a face costs ``lw``/r times
    λ·log(1 + exp(-r·(g(cos θ_y) - m) - b)) + (1 - λ)·Σ_j≠y log(1 + exp(r·(g(cos θ_j) + m) + b)).

    The bias starts where its gradient is zero when all cosines are 0, as in the authors' code; that value follows from
    the number of classes, and what is learned is the difference from it.

    Args:
        m: margin, 0 to 1, for the target and against the others.
        r: scale; the paper's is 40. ``None``: the recipe's ``s``.
        t: exponent of g, 1 or more; 1 leaves the cosine as it is.
        lambda_: weight of the target's term, between 0 and 1; the others have the rest.
        lw: weight of the whole, above 0. The authors' code has 50: a gradient divided by r is small.
    """

    _scale_name = "r"

    def __init__(
        self, m: float = 0.4, r: float | None = None, t: float = 3.0, lambda_: float = 0.7, lw: float = 50.0
    ) -> None:
        super().__init__(cosine_margin("SphereFace2's margin m", m), r)
        if not 0 < lambda_ < 1:
            raise ValueError(f"SphereFace2's lambda_ is a weight between 0 and 1, got {lambda_}")
        if not (1 <= t < math.inf and 0 < lw < math.inf):
            raise ValueError(f"SphereFace2's t is 1 or more and its lw above 0, got {t} and {lw}")
        self.t, self.lambda_, self.lw = t, lambda_, lw
        self.bias = nn.Parameter(torch.zeros(()))

    def logits(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        similarity = 2 * ((cosines + 1) / 2).clamp_min(0) ** self.t - 1
        m = self.m * self.ramp
        paid = with_target(similarity + m, labels, of_target(similarity, labels) - m)
        return self.scale * paid + self._start(self._count(cosines)) + self.bias.to(cosines.dtype)

    def cost(self, own: Tensor, others: Tensor, norms: Tensor | None = None) -> Tensor:
        return self.lw / self.scale * (self.lambda_ * F.softplus(-own) + (1 - self.lambda_) * others)

    def _start(self, classes: int) -> float:
        """The bias at which λ·σ(-target) = (1 - λ)·(C - 1)·σ(other), all cosines being 0."""
        at_zero = 2 * math.pow(0.5, self.t) - 1
        target, other = self.scale * (at_zero - self.m), self.scale * (at_zero + self.m)
        z = self.lambda_ / ((1 - self.lambda_) * max(classes - 1, 1))
        sum_of_roots = abs(1 - z) + math.hypot(1 - z, 2 * math.sqrt(z) * math.exp((target - other) / 2))
        # The two are the same number; one of them is free of cancellation.
        return math.log(2 * z / sum_of_roots) - other if z <= 1 else math.log(sum_of_roots / 2) - target

    def settings(self) -> dict[str, Any]:
        usual = {"t": 3, "lambda_": 0.7, "lw": 50}
        return {**super().settings(), **other_than(usual, self)}
