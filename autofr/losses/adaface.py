"""AdaFace: a margin that asks more of good images and less of bad ones, told apart by the embedding's norm."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from autofr.losses.angles import add_angle
from autofr.losses.base import AdditiveMarginLoss, of_target, other_than, with_target
from autofr.losses.cosface import cosine_margin


class AdaFace(AdditiveMarginLoss):
    """AdaFace (Kim et al., CVPR 2022, section 3.3): the target logit is s·(cos(θ - m·z) - m·z - m).

    z is the embedding's norm, less the mean of norms, in units of their deviation/h, clipped to [-1, 1]: near -1 the
    margin is ArcFace's (an image with a short embedding is not pressed when it is far off), at 0 it is CosFace's. No
    gradient flows through z. Mean and deviation are averages over batches.

    Args:
        m: margin, 0 to 1.
        h: how soon z reaches its ends, 0 or more. At 0 this is :class:`CosFace`.
        t_alpha: weight of the newest batch in the averages, above 0, up to 1. The first batches count equally, so that
            the averages are right at once; the authors start from a mean of 20 and a deviation of 100.
        s: scale of the logits; the paper's is 64. ``None``: the recipe's.
    """

    def __init__(self, m: float = 0.4, h: float = 0.333, t_alpha: float = 0.01, s: float | None = None) -> None:
        super().__init__(cosine_margin("AdaFace's margin m", m), s)
        if not (0 <= h < math.inf and 0 < t_alpha <= 1):
            raise ValueError(f"AdaFace's h is 0 or more and its t_alpha above 0 and up to 1, got {h} and {t_alpha}")
        self.h, self.t_alpha = h, t_alpha
        self.batches: Tensor
        self.norm_mean: Tensor
        self.norm_std: Tensor
        self.register_buffer("batches", torch.zeros(()))
        self.register_buffer("norm_mean", torch.zeros(()))
        self.register_buffer("norm_std", torch.zeros(()))

    def logits(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        lengths = self._norms(norms).detach().clamp(1e-3, 100)
        if self.training:
            self._average(lengths)
        z = ((lengths - self.norm_mean) / (self.norm_std + 1e-3) * self.h).clamp(-1, 1).to(cosines.dtype)
        m = self.m * self.ramp
        paid = add_angle(of_target(cosines, labels), -m * z) - m * z - m
        return self.scale * with_target(cosines, labels, paid)

    @torch.no_grad()
    def _average(self, lengths: Tensor) -> None:
        self.batches += 1
        weight = (1 / self.batches).clamp_min(self.t_alpha)
        self.norm_mean += weight * (lengths.mean() - self.norm_mean)
        # One face has no deviation; nan would stay in the average for ever.
        self.norm_std += weight * (lengths.std(correction=min(1, len(lengths) - 1)) - self.norm_std)

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), **other_than({"h": 0.333, "t_alpha": 0.01}, self)}
