"""Normalised softmax: no margin."""

from __future__ import annotations

from torch import Tensor

from autofr.losses.base import MarginLoss


class NormSoftmax(MarginLoss):
    """Normalised softmax (NormFace, Wang et al., ACM MM 2017, equation 7): the target logit is s·cos θ.

    Args:
        s: scale of the logits. ``None``: the recipe's.
    """

    def target(self, cosine: Tensor) -> Tensor:
        return cosine
