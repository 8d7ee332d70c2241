"""What every margin loss keeps to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from autofr.losses import MarginLoss
from autofr.losses.base import goes_by_parts


class LossContract:
    """Inherit it in a test class and give :meth:`make`::

    class TestMyLoss(LossContract):
        def make(self, s):
            return MyLoss(m=0.3, s=s)

    Attributes:
        monotone: whether the loss rises with the target's angle and with the margin. Say ``False``, and why, for one
            whose paper does not promise it, or that has no margin.
        softmax: whether it is a softmax and nothing else, which a single class costs nothing.
    """

    monotone = True
    softmax = True

    def make(self, s: float) -> MarginLoss:
        """A fresh loss with scale ``s``."""
        raise NotImplementedError

    def _batch(self, rows: int = 6, classes: int = 5, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
        """Cosines, labels and norms."""
        generator = torch.Generator().manual_seed(0)
        width = classes * self.make(8.0).sub_centres
        cosines = torch.rand(rows, width, generator=generator, dtype=dtype) * 1.8 - 0.9
        labels = torch.randint(classes, (rows,), generator=generator)
        return cosines, labels, torch.rand(rows, generator=generator, dtype=dtype) * 40 + 5

    def _settled(self, s: float) -> MarginLoss:
        """A loss that has seen a batch, in evaluation mode: its averages are in place and stay."""
        loss = self.make(s)
        torch.manual_seed(1)
        loss(*self._batch())
        return loss.eval()

    @staticmethod
    def _value(loss: MarginLoss, *batch: Tensor) -> Tensor:
        """The loss of a batch, what it draws being the same every time."""
        torch.manual_seed(2)
        value: Tensor = loss(*batch)
        return value

    def test_gradient_is_that_of_the_value(self) -> None:
        loss, (cosines, labels, norms) = self._settled(8.0), self._batch()
        assert torch.autograd.gradcheck(lambda c: self._value(loss, c, labels, norms), cosines.requires_grad_())

    def test_it_rises_as_the_target_s_angle_grows(self) -> None:
        if not self.monotone:
            pytest.skip("this loss does not promise it")
        loss, (cosines, labels, norms) = self._settled(8.0), self._batch(rows=1)
        values = []
        for angle in torch.linspace(0.01, torch.pi - 0.01, 500, dtype=torch.float64):
            row = cosines.clone()
            row[0, labels[0] :: 5] = angle.cos()
            values.append(self._value(loss, row, labels, norms))
        assert (torch.stack(values).diff() > 0).all()

    def test_the_loss_grows_with_the_margin_in_force(self) -> None:
        if not self.monotone:
            pytest.skip("this loss does not promise it")
        loss, batch, values = self._settled(16.0), self._batch(), []
        for ramp in (0.0, 0.5, 1.0):
            loss.ramp = ramp
            values.append(self._value(loss, *batch))
        assert values[0] < values[1] < values[2]

    def test_a_ramp_may_be_a_tensor(self) -> None:
        loss, batch = self._settled(16.0), self._batch()
        loss.ramp = 0.25
        number = self._value(loss, *batch)
        loss.ramp = torch.tensor(0.25)
        torch.testing.assert_close(self._value(loss, *batch), number)

    @pytest.mark.parametrize("classes", [1, 2])
    def test_extremes_stay_finite(self, classes: int) -> None:
        loss = self.make(64.0)
        ends = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]])[:, :classes]
        cosines = ends.repeat(1, loss.sub_centres).requires_grad_()
        labels = torch.tensor([0, 0, classes - 1])
        norms = torch.tensor([0.0, 1e4, 20.0], requires_grad=True)
        value = loss(cosines, labels, norms)
        value.backward()
        assert value.isfinite()
        assert cosines.grad is not None
        for tensor in (cosines, norms, *loss.parameters()):
            assert tensor.grad is None or tensor.grad.isfinite().all()

    def test_a_batch_of_one_leaves_it_sound(self) -> None:
        loss = self.make(16.0)
        loss(*self._batch(rows=1))
        assert loss(*self._batch()).isfinite()

    def test_one_class_costs_a_softmax_nothing(self) -> None:
        if not self.softmax:
            pytest.skip("this loss is no softmax")
        loss = self.make(64.0)
        cosines = torch.tensor([[0.3], [-0.8]]).repeat(1, loss.sub_centres)
        assert self._value(loss, cosines, torch.tensor([0, 0]), torch.tensor([20.0, 30.0])) == 0

    def test_float32_and_bfloat16_agree_with_float64(self) -> None:
        cosines, labels, norms = self._batch()
        cosines = cosines.bfloat16().double()  # the same numbers in all three
        exact = self._value(self._settled(8.0), cosines, labels, norms)
        single = self._value(self._settled(8.0), cosines.float(), labels, norms.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-5)
        rough = self._value(self._settled(8.0), cosines.bfloat16(), labels, norms.float())
        assert rough.dtype == torch.bfloat16
        torch.testing.assert_close(rough.double(), exact, rtol=0.05, atol=0.05)

    @pytest.mark.parametrize("parts", [1, 2, 4])
    def test_it_goes_by_parts(self, parts: int) -> None:
        """The sum of what each part of the classes costs, as ranks that share them add it up, is the loss."""
        first, second = self.make(8.0), self.make(8.0)
        if not goes_by_parts(first):
            pytest.skip("this loss gives forward alone: ranks cannot share its classes")
        cosines, labels, norms = self._batch()
        expected = self._value(first, cosines, labels, norms)
        nearest = second.nearest(cosines)
        second.classes = nearest.shape[1]
        torch.manual_seed(2)
        logits = second.logits(torch.cat([nearest.gather(1, labels[:, None]), nearest], 1), labels * 0, norms)
        others = logits[:, 1:].scatter(1, labels[:, None], -1e30)
        pooled = torch.stack([second.pool(part) for part in others.tensor_split(parts, 1)], 1)
        cost = second.cost(logits[:, 0], second.join(pooled), norms)
        assert cost.shape == labels.shape
        torch.testing.assert_close(cost.mean(), expected, rtol=1e-9, atol=1e-9)

    def test_its_state_travels(self) -> None:
        """What it learned or averaged is in its state dictionary, and nowhere else."""
        first, second, batch = self.make(16.0), self.make(16.0), self._batch()
        optimizer = torch.optim.SGD(first.parameters(), 0.1) if list(first.parameters()) else None
        for _ in range(3):
            value = self._value(first, *batch)
            if optimizer is not None:
                value.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        second.load_state_dict(first.state_dict())
        for _ in range(2):
            assert torch.equal(self._value(first, *batch), self._value(second, *batch))
        for module in first.modules():
            assert not [name for name, value in vars(module).items() if isinstance(value, Tensor) and name != "ramp"]

    def test_evaluation_mode_leaves_its_state_alone(self) -> None:
        loss = self._settled(16.0)
        before = {name: tensor.clone() for name, tensor in loss.state_dict().items()}
        self._value(loss, *self._batch(rows=3))
        assert all(torch.equal(tensor, before[name]) for name, tensor in loss.state_dict().items())

    def test_a_loss_without_scale_says_so(self) -> None:
        loss = self.make(8.0)
        loss.s = None
        with pytest.raises(ValueError, match="no scale"):
            loss(*self._batch())

    def test_the_name_tells_losses_apart(self) -> None:
        assert str(self.make(8.0)) != str(self.make(16.0))
