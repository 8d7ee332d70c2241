"""CosFace: an additive margin on the cosine."""

from __future__ import annotations

from torch import Tensor

from autofr.losses.base import AdditiveMarginLoss


class CosFace(AdditiveMarginLoss):
    """CosFace (Wang et al., CVPR 2018, equation 4): the target logit is s·(cos θ - m).

    Args:
        m: margin in cosine, 0 to 1; the paper's default is 0.35. At 0 this is :class:`NormSoftmax`.
        s: scale of the logits; the paper's is 64. ``None``: the recipe's.
    """

    def __init__(self, m: float = 0.35, s: float | None = None) -> None:
        if not 0 <= m <= 1:
            raise ValueError(f"CosFace's margin m is a cosine from 0 to 1, got {m}")
        super().__init__(m, s)

    def target(self, cosine: Tensor) -> Tensor:
        return cosine - self.m * self.ramp
