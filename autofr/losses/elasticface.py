"""ElasticFace: a margin that is drawn anew for every face."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from autofr.losses.base import of_target, with_target
from autofr.losses.kinds import KindedMarginLoss

SIGMA = {("arc", False): 0.05, ("cos", False): 0.05, ("arc", True): 0.0175, ("cos", True): 0.025}
"""The paper's deviation by kind, without and with plus."""


class ElasticFace(KindedMarginLoss):
    """ElasticFace (Boutros et al., CVPR 2022 workshops): ArcFace or CosFace whose margin is drawn
    from a normal distribution of mean m and deviation σ, for every face and step. It is drawn from torch's RNG.

    In the plus form the margins of a batch are dealt out in order: the face farthest from its centre gets the largest.

    Args:
        m: mean margin: radians with ``arc``, cosine with ``cos``. ``None``: 0.5 or 0.35.
        sigma: deviation, 0 to 0.5. ``None``: the paper's: 0.05, with plus 0.0175 (arc) or 0.025 (cos). At 0 this is
            :class:`ArcFace` or :class:`CosFace`.
        kind: ``arc`` (ElasticFace-Arc) or ``cos`` (ElasticFace-Cos).
        plus: the plus form.
        s: scale of the logits; the paper's is 64. ``None``: the recipe's.
    """

    def __init__(
        self,
        m: float | None = None,
        sigma: float | None = None,
        kind: str = "arc",
        plus: bool = False,
        s: float | None = None,
    ) -> None:
        super().__init__(m, kind, s)
        self.sigma = SIGMA[kind, bool(plus)] if sigma is None else sigma
        if not 0 <= self.sigma <= 0.5:
            raise ValueError(f"ElasticFace's sigma is a deviation from 0 to 0.5, got {sigma}")
        self.plus = plus

    def logits(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        target = of_target(cosines, labels)
        margins = self.m + self.sigma * torch.randn(len(target), device=target.device)
        margins = margins.clamp(-math.pi, math.pi)  # as far as an angle's cosine can be continued
        if self.plus:
            farthest_last = target.detach().argsort(descending=True)
            margins = torch.empty_like(margins).index_copy_(0, farthest_last, margins.sort().values)
        paid = self.pay(target, (margins * self.ramp).to(target.dtype))
        return self.scale * with_target(cosines, labels, paid)

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "sigma": float(self.sigma), **({"plus": True} if self.plus else {})}
