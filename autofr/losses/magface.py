"""MagFace: the longer an embedding, the larger its margin, and long embeddings are rewarded."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from autofr.losses.angles import add_angle
from autofr.losses.arcface import radians
from autofr.losses.base import MarginLoss, of_target, other_than, with_target


class MagFace(MarginLoss):
    """MagFace (Meng et al., CVPR 2021): ArcFace with a margin m(a) that grows with the embedding's norm a,
    and a cost λ_g·g(a).

    m(a) rises in a straight line from l_m at a = l_a to u_m at a = u_a; g(a) = a/u_a² + 1/a falls up to u_a. Norms are
    clipped to [l_a, u_a]. Gradients flow through both. The norm then tells how good an image is.

    Args:
        l_m, u_m: margins in radians, 0 to π/2, l_m up to u_m.
        l_a, u_a: norms, above 0, l_a below u_a.
        lambda_g: weight of g, 0 or more. With it 0 and l_m = u_m this is :class:`ArcFace`.
        s: scale of the logits; the paper's is 64. ``None``: the recipe's.
    """

    def __init__(
        self,
        l_m: float = 0.45,
        u_m: float = 0.8,
        l_a: float = 10.0,
        u_a: float = 110.0,
        lambda_g: float = 35.0,
        s: float | None = None,
    ) -> None:
        super().__init__(s)
        if not radians("MagFace's l_m", l_m) <= radians("MagFace's u_m", u_m):
            raise ValueError(f"MagFace's l_m is at most its u_m, got {l_m} and {u_m}")
        if not (0 < l_a < u_a < math.inf and 0 <= lambda_g < math.inf):
            given = f"{l_a}, {u_a}, {lambda_g}"
            raise ValueError(f"MagFace's l_a is above 0, u_a above l_a and lambda_g 0 or more, got {given}")
        self.l_m, self.u_m, self.l_a, self.u_a, self.lambda_g = l_m, u_m, l_a, u_a, lambda_g

    def logits(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        share = (self._lengths(norms) - self.l_a) / (self.u_a - self.l_a)
        m = ((self.l_m + (self.u_m - self.l_m) * share) * self.ramp).to(cosines.dtype)
        return self.scale * with_target(cosines, labels, add_angle(of_target(cosines, labels), m))

    def forward(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        return super().forward(cosines, labels, norms) + self._g(norms).mean().to(cosines.dtype)

    def cost(self, own: Tensor, others: Tensor, norms: Tensor | None = None) -> Tensor:
        return super().cost(own, others, norms) + self._g(norms).to(own.dtype)

    def _g(self, norms: Tensor | None) -> Tensor:
        a = self._lengths(norms)
        return self.ramp * self.lambda_g * (a / self.u_a**2 + 1 / a)

    def _lengths(self, norms: Tensor | None) -> Tensor:
        return self._norms(norms).clamp(self.l_a, self.u_a)

    def settings(self) -> dict[str, Any]:
        margins = {"l_m": float(self.l_m), "u_m": float(self.u_m)}
        norms = {"l_a": float(self.l_a), "u_a": float(self.u_a)} if (self.l_a, self.u_a) != (10, 110) else {}
        return {**margins, **super().settings(), **norms, **other_than({"lambda_g": 35}, self)}
