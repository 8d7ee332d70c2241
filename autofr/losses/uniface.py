"""UniFace: every genuine cosine above one threshold, every impostor cosine below it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autofr.losses.base import BinaryMarginLoss, of_target, other_than, with_target
from autofr.losses.cosface import cosine_margin


class UniFace(BinaryMarginLoss):
    """UniFace's unified cross-entropy with margin (Zhou et al., ICCV 2023): one threshold b for all classes. A face
    costs log(1 + exp(-s·(cos θ_y - m) + b)) + λ·Σ_j≠y log(1 + exp(s·cos θ_j - b)).

    b is learned. It starts at log(10·C), as in the authors' code; what is learned is the difference from that.

    Args:
        m: margin in cosine, 0 to 1.
        lambda_: weight of the other classes, above 0.
        s: scale of the logits; the paper's is 64. ``None``: the recipe's.
    """

    def __init__(self, m: float = 0.4, lambda_: float = 1.0, s: float | None = None) -> None:
        super().__init__(cosine_margin("UniFace's margin m", m), s)
        if not 0 < lambda_ < math.inf:
            raise ValueError(f"UniFace's lambda_ is a weight above 0, got {lambda_}")
        self.lambda_ = lambda_
        self.bias = nn.Parameter(torch.zeros(()))

    def logits(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        paid = with_target(cosines, labels, of_target(cosines, labels) - self.m * self.ramp)
        return self.scale * paid - math.log(10 * self._count(cosines)) - self.bias.to(cosines.dtype)

    def cost(self, own: Tensor, others: Tensor, norms: Tensor | None = None) -> Tensor:
        return F.softplus(-own) + self.lambda_ * others

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), **other_than({"lambda_": 1}, self)}
