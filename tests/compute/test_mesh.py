"""Which errors say that another process is gone. Meshes of several processes: tests/engine/test_distributed.py."""

from typing import Any

import pytest
import torch
import torch.distributed as dist

from autofr import LostContactError
from autofr.compute.mesh import contact


class Broken(torch.autograd.Function):
    """A function of a user's own whose backward pass fails."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("a mistake of mine")


def test_an_error_of_a_users_code_is_its_own() -> None:
    """Also where a collective operation could have failed: in a backward pass whose gradients are averaged."""
    value = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="a mistake of mine") as caught, contact():
        Broken.apply(value).sum().backward()
    assert not isinstance(caught.value, LostContactError)


def test_errors_from_within_torch_are_lost_contact() -> None:
    with pytest.raises(LostContactError, match="connection reset"), contact():
        raise dist.DistNetworkError("connection reset\nby somebody")
    with pytest.raises(LostContactError), contact():
        torch.ones(2) @ torch.ones(3)  # a plain RuntimeError, as gloo raises
    with pytest.raises(torch.OutOfMemoryError), contact():
        raise torch.OutOfMemoryError("no memory left")
    with pytest.raises(ZeroDivisionError), contact():
        1 / 0  # noqa: B018
