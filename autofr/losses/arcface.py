"""ArcFace: an additive margin on the angle."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autofr.losses.base import AdditiveMarginLoss, sine


class ArcFace(AdditiveMarginLoss):
    """ArcFace (Deng et al., CVPR 2019, equation 3): the target logit is s·cos(θ + m).

    Two points differ from the common implementation. The gradient is exact: the target logit's slope in cos θ is
    s·sin(θ + m)/sin θ, where an ``acos`` on detached values gives s. And the target stays monotone: past
    θ + m = π, where the cosine would rise again, it goes on as -2 - cos(θ + m), which joins it smoothly.

    Args:
        m: margin in radians, 0 to π/2; the paper's default is 0.5. At 0 this is :class:`NormSoftmax`.
        s: scale of the logits; the paper's is 64. ``None``: the recipe's.
    """

    def __init__(self, m: float = 0.5, s: float | None = None) -> None:
        if not 0 <= m <= math.pi / 2:
            raise ValueError(f"ArcFace's margin m is an angle from 0 to π/2 radians, got {m}")
        super().__init__(m, s)

    def target(self, cosine: Tensor) -> Tensor:
        m = self.m * self.ramp
        shifted = cosine * math.cos(m) - sine(cosine) * math.sin(m)  # cos(θ + m)
        return torch.where(cosine >= -math.cos(m), shifted, -2 - shifted)
