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
        super().__init__(cosine_margin("CosFace's margin m", m), s)

    def target(self, cosine: Tensor) -> Tensor:
        return cosine - self.m * self.ramp


def cosine_margin(what: str, value: float) -> float:
    """``value``, a margin in cosine.

    Raises:
        ValueError: it is outside 0 to 1.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{what} is a cosine from 0 to 1, got {value}")
    return value
