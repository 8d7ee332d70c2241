import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from autofr.training.averaging import MeanWeights, lent
from autofr.training.batchnorm import recalibrate


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))


def steps(net: nn.Module, count: int) -> Iterator[list[Tensor]]:
    """``count`` steps of SGD, and the weights after each."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(count):
        optimizer.zero_grad()
        net(torch.randn(8, 3, 8, 8)).square().mean().backward()
        optimizer.step()
        yield [p.detach().double().clone() for p in net.parameters()]


def test_it_is_the_mean_of_the_weights_that_were_counted(net: nn.Module) -> None:
    mean, images = MeanWeights(net), [torch.randn(8, 3, 8, 8) for _ in range(2)]
    seen = []
    for step, weights in enumerate(steps(net, 7)):
        if step == 2:
            mean.start()
        else:
            mean.add()  # before the start it does nothing, and the start itself is not a step
        if step > 2:
            seen.append(weights)
    found = mean.settled(images)
    for name, values in zip(dict(net.named_parameters()), zip(*seen, strict=True), strict=True):
        torch.testing.assert_close(found[name].double(), torch.stack(values).mean(0), rtol=1e-5, atol=1e-7)
    other = copy.deepcopy(net)
    other.load_state_dict(found)
    recalibrate(other, images)
    torch.testing.assert_close(dict(other.state_dict()), found)


def test_without_a_step_they_are_its_own_weights_with_averages_taken_anew(net: nn.Module) -> None:
    images = [torch.randn(8, 3, 8, 8)]
    found = MeanWeights(net).settled(images)
    for name, parameter in net.named_parameters():
        assert torch.equal(found[name], parameter)
    assert not torch.equal(found["1.running_mean"], net.state_dict()["1.running_mean"])


def test_low_precision_weights_are_summed_in_full() -> None:
    net = nn.Linear(4, 4).bfloat16()
    with torch.no_grad():
        net.weight.fill_(0.125)
    mean = MeanWeights(net)
    mean.start()
    for _ in range(1000):
        mean.add()
    assert torch.equal(mean.settled([torch.ones(2, 4, dtype=torch.bfloat16)])["weight"], net.weight)


def test_training_goes_on_as_if_nobody_had_looked(net: nn.Module) -> None:
    other = copy.deepcopy(net)
    mean = MeanWeights(net)
    mean.start()
    torch.manual_seed(1)
    for _ in steps(net, 4):
        mean.add()
        with torch.random.fork_rng():
            mean.settled([torch.randn(8, 3, 8, 8)])
    torch.manual_seed(1)
    for _ in steps(other, 4):
        pass
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_network_that_is_lent_comes_back(net: nn.Module) -> None:
    before = copy.deepcopy(net.state_dict())

    def fail() -> None:
        with lent(net, {name: t * 2 for name, t in before.items()}) as seen:
            assert seen is net
            torch.testing.assert_close(net.state_dict()["3.bias"], before["3.bias"] * 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
