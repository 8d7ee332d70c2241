"""What every margin loss keeps to."""

from __future__ import annotations

import torch
from torch import Tensor

from autofr.losses import MarginLoss


class LossContract:
    """Inherit it in a test class and give :meth:`make`::

    class TestMyLoss(LossContract):
        def make(self, s):
            return MyLoss(m=0.3, s=s)
    """

    def make(self, s: float) -> MarginLoss:
        """A loss with scale ``s``."""
        raise NotImplementedError

    def _cosines(self, rows: int = 6, classes: int = 5, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        cosines = torch.rand(rows, classes, generator=generator, dtype=dtype) * 1.8 - 0.9
        return cosines, torch.randint(classes, (rows,), generator=generator)

    def test_gradient_is_that_of_the_value(self) -> None:
        cosines, labels = self._cosines()
        assert torch.autograd.gradcheck(lambda c: self.make(8.0)(c, labels), cosines.requires_grad_())

    def test_the_target_falls_as_the_angle_grows(self) -> None:
        angles = torch.linspace(0.01, torch.pi - 0.01, 2000, dtype=torch.float64)
        assert (self.make(64.0).target(angles.cos()).diff() < 0).all()

    def test_the_margin_makes_the_loss_no_smaller(self) -> None:
        cosines, labels = self._cosines()
        loss = self.make(16.0)
        full = loss(cosines, labels)
        loss.ramp = 0.0
        assert full >= loss(cosines, labels)

    def test_extremes_stay_finite(self) -> None:
        labels = torch.tensor([0, 0, 1])
        cosines = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]], requires_grad=True)
        value = self.make(64.0)(cosines, labels)
        value.backward()
        assert value.isfinite()
        assert cosines.grad is not None
        assert cosines.grad.isfinite().all()

    def test_one_class_costs_nothing(self) -> None:
        assert self.make(64.0)(torch.tensor([[0.3], [-0.8]]), torch.tensor([0, 0])) == 0

    def test_float32_and_bfloat16_agree_with_float64(self) -> None:
        cosines, labels = self._cosines()
        exact = self.make(8.0)(cosines, labels)
        torch.testing.assert_close(self.make(8.0)(cosines.float(), labels).double(), exact, rtol=1e-5, atol=1e-5)
        rough = self.make(8.0)(cosines.bfloat16(), labels).double()
        torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.05)

    def test_the_name_tells_losses_apart(self) -> None:
        assert str(self.make(8.0)) != str(self.make(16.0))
