"""What losses share that come with ArcFace's margin or with CosFace's."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from autofr.losses.angles import add_angle
from autofr.losses.arcface import radians
from autofr.losses.base import AdditiveMarginLoss
from autofr.losses.cosface import cosine_margin


class KindedMarginLoss(AdditiveMarginLoss):
    """A margin ``m`` of one of two kinds.

    Args:
        m: ``arc``: radians, 0 to π/2; ``cos``: cosine, 0 to 1. ``None``: ArcFace's 0.5, CosFace's 0.35.
        kind: ``arc`` or ``cos``.
        s: see :class:`MarginLoss`.
    """

    def __init__(self, m: float | None, kind: str, s: float | None) -> None:
        if kind not in ("arc", "cos"):
            raise ValueError(f"{type(self).__name__}'s kind is arc or cos, got {kind!r}")
        checked = {"arc": radians, "cos": cosine_margin}[kind]
        default = 0.5 if kind == "arc" else 0.35
        super().__init__(checked(f"{type(self).__name__}'s margin m", default if m is None else m), s)
        self.kind = kind

    def pay(self, cosine: Tensor, m: float | Tensor) -> Tensor:
        """The target cosine after a margin ``m`` of this kind, a number or (B,)."""
        return add_angle(cosine, m) if self.kind == "arc" else cosine - m

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "kind": self.kind}
