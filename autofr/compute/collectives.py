"""What partners of a mesh compute together: rows gathered, sums, means, with gradients that flow back."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from autofr.compute.mesh import Mesh, contact


class _Gather(torch.autograd.Function):
    """Rows of all partners, one after another. Backward is the adjoint: a row's gradients from everybody, added up."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, mesh: Mesh, sizes: list[int]) -> Tensor:
        ctx.mesh, ctx.sizes = mesh, sizes
        return _gather(rows, mesh, sizes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        total = grad.contiguous()
        with contact():
            dist.all_reduce(total, group=ctx.mesh.partners)
        first = sum(ctx.sizes[: ctx.mesh.part])
        return total[first : first + ctx.sizes[ctx.mesh.part]], None, None


class _Sum(torch.autograd.Function):
    """The sum over partners. Backward is the adjoint: the gradients of everybody, added up."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, mesh: Mesh) -> Tensor:
        ctx.mesh = mesh
        total = value.clone()
        with contact():
            dist.all_reduce(total, group=mesh.partners)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.clone()
        with contact():
            dist.all_reduce(total, group=ctx.mesh.partners)
        return total, None


def _gather(rows: Tensor, mesh: Mesh, sizes: list[int]) -> Tensor:
    """All partners' rows; shorter parts travel filled up, because collectives want equal ones."""
    most = max(sizes)
    sent = rows.new_zeros((most, *rows.shape[1:]))
    sent[: len(rows)] = rows
    heard = [torch.empty_like(sent) for _ in sizes]
    with contact():
        dist.all_gather(heard, sent, group=mesh.partners)
    return torch.cat([part[:size] for part, size in zip(heard, sizes, strict=True)])


def gather_rows(rows: Tensor, mesh: Mesh, sizes: list[int]) -> Tensor:
    """The rows of all partners, (sum of ``sizes``, ...), in their order; a gradient flows back to each.

    Args:
        rows: this rank's.
        mesh: whose partners.
        sizes: rows of each, known to all: to ask would make every step wait.
    """
    if mesh.data == 1:
        return rows
    found: Tensor = _Gather.apply(rows, mesh, sizes) if rows.is_floating_point() else _gather(rows, mesh, sizes)
    return found


def sum_over_partners(value: Tensor, mesh: Mesh) -> Tensor:
    """The sum of every partner's ``value``; a gradient flows back to each."""
    if mesh.data == 1:
        return value
    total: Tensor = _Sum.apply(value, mesh)
    return total


def shared(net: nn.Module, mesh: Mesh) -> nn.Module:
    """``net``, whose gradients are the means over the partners after each backward pass.

    BatchNorm's averages stay each rank's own until a segment ends.
    """
    if mesh.data == 1:
        return net
    made = nn.parallel.DistributedDataParallel
    known = inspect.signature(made).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # as it was called
    settings: dict[str, Any] = {name: False}
    with contact():  # it compares the shapes of the partners' parameters
        return made(net, process_group=mesh.partners, **settings)


@torch.no_grad()
def average(tensors: list[Tensor], mesh: Mesh) -> None:
    """Replace each tensor by its mean over the partners, in place."""
    if mesh.data > 1:
        for tensor in tensors:
            with contact():
                dist.all_reduce(tensor, group=mesh.partners)
            tensor /= mesh.data
