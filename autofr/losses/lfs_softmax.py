"""LFS's search space: softmax whose target probability is re-weighted."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autofr.losses.base import MarginLoss, of_target


class LFSSoftmax(MarginLoss):
    """The losses that Loss Function Search (Wang et al., ICML 2020) searches: with p the softmax's
    target probability, the loss is -log(h(a, p)·p), h(a, p) = 1/(a·p + 1 - a).

    A constant a is exactly :class:`CosFace` with m = ln(1 - a)/s. Everything is computed from log p: the loss is
    -log p + log(1 - a·(1 - p)).

    Args:
        a: 0 or less. At 0 this is :class:`NormSoftmax`; useful values run over orders of magnitude (m = 0.3 at s = 24
            is a = -1338).
        s: scale of the logits. ``None``: the recipe's.
    """

    def __init__(self, a: float = -10.0, s: float | None = None) -> None:
        super().__init__(s)
        if not -math.inf < a <= 0:
            raise ValueError(f"LFSSoftmax's a is 0 or less, and finite, got {a}")
        self.a = a

    def forward(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        return self._costs(of_target(F.log_softmax(self.logits(cosines, labels, norms), dim=1), labels)).mean()

    def logits(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        return self.scale * cosines

    def cost(self, own: Tensor, others: Tensor, norms: Tensor | None = None) -> Tensor:
        return self._costs(-F.softplus(others - own))

    def _costs(self, log_p: Tensor) -> Tensor:
        # The ramp works on the margin: 1 - a is exp(s·m).
        a = 1 - (1 - self.a) ** self.ramp
        return torch.log1p(a * torch.expm1(log_p)) - log_p

    def settings(self) -> dict[str, Any]:
        return {"a": float(self.a), **super().settings()}
