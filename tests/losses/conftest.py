"""A batch, and losses written out in Python floats, independent of torch."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Cosines (16, 9), labels and norms, in float64; target cosines all over [-0.95, 0.95]."""
    generator = torch.Generator().manual_seed(1)
    cosines = torch.rand(16, 9, generator=generator, dtype=torch.float64) * 1.9 - 0.95
    labels = torch.randint(9, (16,), generator=generator)
    return cosines, labels, torch.rand(16, generator=generator, dtype=torch.float64) * 60 + 1


@pytest.fixture
def softmax_cost() -> Callable[..., float]:
    """The mean of -log softmax(s·changed cosines) at the target."""

    def cost(
        cosines: Tensor,
        labels: Tensor,
        s: float,
        target: Callable[..., float],
        other: Callable[[float, float], float] = lambda c, paid: c,
    ) -> float:
        """``target`` takes a row's target cosine and its number; ``other`` a negative's cosine and the paid target."""
        total = 0.0
        for i, (row, label) in enumerate(zip(cosines.tolist(), labels.tolist(), strict=True)):
            paid = target(row[label], i)
            logits = [s * (paid if j == label else other(c, paid)) for j, c in enumerate(row)]
            top = max(logits)
            total += top + math.log(sum(math.exp(v - top) for v in logits)) - logits[label]
        return total / len(labels)

    return cost


def continued(angle: float) -> float:
    """The cosine, continued so that it falls for ever (and from before 0)."""
    k = math.floor(angle / math.pi)
    return (-1) ** k * math.cos(angle) - 2 * k


@pytest.fixture
def falling_cosine() -> Callable[[float], float]:
    """:func:`continued`."""
    return continued
