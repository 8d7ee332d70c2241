"""MV-Softmax: negatives that are mistaken for the target are pressed harder."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from autofr.losses.base import of_target, with_target
from autofr.losses.kinds import KindedMarginLoss


class MVSoftmax(KindedMarginLoss):
    """Mis-classified vector guided softmax (Wang et al., AAAI 2020).

    The target pays ArcFace's or CosFace's margin. A class j whose cosine is above what is left of the target counts
    more: (1 + t)·cos θ_j + t in the adaptive form, cos θ_j + t in the fixed one.

    Args:
        m: margin: radians with ``arc``, cosine with ``cos``. ``None``: 0.5 or 0.35.
        t: how much more, 0 or more. At 0 this is :class:`ArcFace` or :class:`CosFace`.
        kind: ``arc`` (MV-Arc-Softmax) or ``cos`` (MV-AM-Softmax).
        adaptive: the adaptive form (the paper's -a), or the fixed one (-f).
        s: scale of the logits; the paper's is 32. ``None``: the recipe's.
    """

    def __init__(
        self,
        m: float | None = None,
        t: float = 0.2,
        kind: str = "cos",
        adaptive: bool = True,
        s: float | None = None,
    ) -> None:
        super().__init__(m, kind, s)
        if not 0 <= t < math.inf:
            raise ValueError(f"MVSoftmax's t is 0 or more, got {t}")
        self.t, self.adaptive = t, adaptive

    def logits(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        paid = self.pay(of_target(cosines, labels), self.m * self.ramp)
        t = self.t * self.ramp
        pressed = cosines + t * (cosines + 1) if self.adaptive else cosines + t
        others = torch.where(cosines > paid.unsqueeze(1), pressed, cosines)
        return self.scale * with_target(others, labels, paid)

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "t": float(self.t), **({} if self.adaptive else {"adaptive": False})}
