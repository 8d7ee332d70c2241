"""A margin that rises by a schedule of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autofr.losses.base import MarginLoss


class MarginRamp(MarginLoss):
    """Wraps a loss whose margin is to rise from 0 over its first steps of training, on top of the run's warm-up.

    The steps already taken are a buffer: they travel with the weights and through a resume.

    Args:
        loss: any margin loss.
        steps: training steps with this loss until the whole margin is in force, 1 or more.
    """

    def __init__(self, loss: MarginLoss, steps: int) -> None:
        nn.Module.__init__(self)  # not MarginLoss's: s is the wrapped loss's
        if not isinstance(loss, MarginLoss) or isinstance(loss, MarginRamp):
            raise ValueError(f"MarginRamp wraps a margin loss that is not ramped yet, got {loss!r}")
        if not (isinstance(steps, int) and steps >= 1):
            raise ValueError(f"MarginRamp's steps are a whole number, 1 or more, got {steps}")
        self.loss, self.steps, self.sub_centres = loss, steps, loss.sub_centres
        self.ramp: float | Tensor = 1.0
        self.taken: Tensor
        self.register_buffer("taken", torch.zeros(()))

    @property
    def s(self) -> float | None:
        """Scale of the wrapped loss."""
        return self.loss.s

    @s.setter
    def s(self, value: float | None) -> None:
        self.loss.s = value

    def logits(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        self._rise()
        self.loss.classes = self.classes
        return self.loss.logits(cosines, labels, norms)

    def forward(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        self._rise()
        value: Tensor = self.loss(cosines, labels, norms)
        return value

    def pool(self, others: Tensor) -> Tensor:
        return self.loss.pool(others)

    def join(self, pooled: Tensor) -> Tensor:
        return self.loss.join(pooled)

    def cost(self, own: Tensor, others: Tensor, norms: Tensor | None = None) -> Tensor:
        return self.loss.cost(own, others, norms)

    def _rise(self) -> None:
        # A tensor, not a number: reading it would wait for the device at every step.
        self.loss.ramp = self.ramp * (self.taken / self.steps).clamp(max=1)
        if self.training:
            self.taken += 1

    def settings(self) -> list[str]:
        return [str(self.loss), f"steps={self.steps}"]
