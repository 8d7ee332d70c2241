"""CurricularFace: hard negatives are eased at first, and pressed later."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autofr.losses.arcface import ArcFace
from autofr.losses.base import of_target, other_than, with_target


class CurricularFace(ArcFace):
    """CurricularFace (Huang et al., CVPR 2020): ArcFace, with another cosine for hard negatives.

    A class j is a hard negative where cos θ_j > cos(θ_y + m); its cosine then becomes cos θ_j·(t + cos θ_j). t is an
    average, over batches, of the mean target cosine: near 0 at first, so that hard negatives count less, and growing as
    the network learns, until they count more.

    The loss as a whole is not monotone in θ_y: a negative changes its value where it becomes hard. The target is.

    Args:
        m: margin in radians, 0 to π/2.
        alpha: weight of the past in the average, 0 to 1.
        s: scale of the logits; the paper's is 64. ``None``: the recipe's.
    """

    def __init__(self, m: float = 0.5, alpha: float = 0.99, s: float | None = None) -> None:
        super().__init__(m, s)
        if not 0 <= alpha <= 1:
            raise ValueError(f"CurricularFace's alpha is a weight from 0 to 1, got {alpha}")
        self.alpha = alpha
        self.t: Tensor
        self.register_buffer("t", torch.zeros(()))

    def logits(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        target = of_target(cosines, labels)
        if self.training:
            with torch.no_grad():
                self.t.lerp_(target.mean().to(self.t.dtype), 1 - self.alpha)
        paid = self.target(target)
        eased = cosines + self.ramp * (cosines * (self.t + cosines) - cosines)
        others = torch.where(cosines > paid.unsqueeze(1), eased, cosines)
        return self.scale * with_target(others, labels, paid)

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), **other_than({"alpha": 0.99}, self)}
