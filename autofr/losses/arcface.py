"""ArcFace: an additive margin on the angle."""

from __future__ import annotations

import math

from torch import Tensor

from autofr.losses.angles import add_angle
from autofr.losses.base import AdditiveMarginLoss


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
        super().__init__(radians("ArcFace's margin m", m), s)

    def target(self, cosine: Tensor) -> Tensor:
        return add_angle(cosine, self.m * self.ramp)


def radians(what: str, value: float) -> float:
    """``value``, an angular margin.

    Raises:
        ValueError: it is outside 0 to π/2.
    """
    if not 0 <= value <= math.pi / 2:
        raise ValueError(f"{what} is an angle from 0 to π/2 radians, got {value}")
    return value
