import pytest
import torch
from torch import nn

from autofr.training.batchnorm import recalibrate


@pytest.fixture
def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 36, 5))


def test_averages_are_those_of_the_batches(net: nn.Sequential) -> None:
    """Against means and variances of the convolution's output, in float64."""
    batches = [torch.randn(6, 3, 8, 8) * 3 + 1 for _ in range(5)]
    norm = net[1]
    norm.running_mean.fill_(77.0)  # type: ignore[union-attr, operator]
    recalibrate(net, batches)
    maps = [net[0](batch).double().transpose(0, 1).flatten(1) for batch in batches]
    mean = torch.stack([m.mean(1) for m in maps]).mean(0)
    variance = torch.stack([m.var(1) for m in maps]).mean(0)
    torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-5, atol=1e-6)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-5, atol=1e-6)  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("training", [True, False])
def test_nothing_else_changes(net: nn.Sequential, training: bool) -> None:
    net.train(training)
    net[2].eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    recalibrate(net, [torch.randn(4, 3, 8, 8)])
    changed = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert [m.training for m in net] == [training, training, False, training, training]
    assert net[1].momentum == 0.1
    assert all(p.grad is None for p in net.parameters())


def test_a_network_that_fails_is_left_in_its_mode(net: nn.Sequential) -> None:
    with pytest.raises(RuntimeError):
        recalibrate(net, [torch.randn(4, 7, 8, 8)])
    assert net.training
    assert net[1].momentum == 0.1


def test_without_batch_norm_nothing_changes() -> None:
    net = nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    recalibrate(net, [torch.randn(2, 3)])
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
