"""Combined margin: SphereFace's, ArcFace's and CosFace's at once."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from autofr.losses.angles import scale_angle
from autofr.losses.arcface import radians
from autofr.losses.base import MarginLoss
from autofr.losses.cosface import cosine_margin


class CombinedMargin(MarginLoss):
    """Combined margin (Deng et al., CVPR 2019, equation 4): the target logit is s·(cos(m1·θ + m2) - m3).

    All three count, m1 included, which common implementations ignore once it is not 1; past m1·θ + m2 = π the cosine
    is continued as SphereFace's is. (m1, 0, 0) is SphereFace's margin on normalised embeddings, (1, m2, 0)
    :class:`ArcFace`, (1, 0, m3) :class:`CosFace`, (1, 0, 0) :class:`NormSoftmax`.

    Args:
        m1: factor of the angle, 1 to 4.
        m2: margin in radians, 0 to π/2.
        m3: margin in cosine, 0 to 1. The paper's combination is (1, 0.3, 0.2).
        s: scale of the logits; the paper's is 64. ``None``: the recipe's.
    """

    def __init__(self, m1: float = 1.0, m2: float = 0.3, m3: float = 0.2, s: float | None = None) -> None:
        super().__init__(s)
        if not 1 <= m1 <= 4:
            raise ValueError(f"CombinedMargin's m1 is a factor from 1 to 4, got {m1}")
        self.m1 = m1
        self.m2 = radians("CombinedMargin's m2", m2)
        self.m3 = cosine_margin("CombinedMargin's m3", m3)

    def target(self, cosine: Tensor) -> Tensor:
        m1 = 1 + (self.m1 - 1) * self.ramp
        return scale_angle(cosine, m1, self.m2 * self.ramp) - self.m3 * self.ramp

    def settings(self) -> dict[str, Any]:
        return {"m1": float(self.m1), "m2": float(self.m2), "m3": float(self.m3), **super().settings()}
