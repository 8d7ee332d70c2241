"""A network as it is scored: the mean of its weights over a while, with BatchNorm averages to go with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from autofr.training.batchnorm import recalibrate


class MeanWeights:
    """The mean of a network's weights over training steps (Izmailov et al., "Averaging weights leads to wider optima
    and better generalization", UAI 2018).

    Args:
        net: the network, whose parameters stay the same tensors.
    """

    def __init__(self, net: nn.Module) -> None:
        self.net, self.weights = net, [parameter.detach() for parameter in net.parameters()]
        self.totals: list[Tensor] = []
        self.steps = 0

    def start(self) -> None:
        """Count from here on."""
        sums = [torch.promote_types(weight.dtype, torch.float32) for weight in self.weights]
        self.totals = [torch.zeros_like(w, dtype=dtype) for w, dtype in zip(self.weights, sums, strict=True)]
        self.steps = 0

    def stop(self) -> None:
        """Forget what was counted, and count no more."""
        self.totals, self.steps = [], 0

    def add(self) -> None:
        """A step was made."""
        if self.totals:
            torch._foreach_add_(self.totals, self.weights)
            self.steps += 1

    @torch.no_grad()
    def settled(self, batches: Collection[Tensor]) -> dict[str, Tensor]:
        """The network's tensors with the mean weights (or, where no step was counted, its own) and BatchNorm averages
        over ``batches``. The network itself is afterwards what it was.

        Args:
            batches: images that it has met, (B, 3, S, S) each.
        """
        with lent(self.net, {}):
            if self.steps:
                torch._foreach_copy_(self.weights, torch._foreach_div(self.totals, self.steps))
            recalibrate(self.net, batches)
            return _copied(self.net)


@contextmanager
def lent(net: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[nn.Module]:
    """``net`` for a block, with ``tensors`` in place of its own (none: as it is); afterwards it is what it was,
    whatever the block did to it."""
    kept = _copied(net)
    try:
        if tensors:
            net.load_state_dict(tensors)
        yield net
    finally:
        net.load_state_dict(kept)


def _copied(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}
