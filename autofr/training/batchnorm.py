"""BatchNorm's averages, taken anew: a variant that shares its weights needs its own."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

BATCHES = 8
"""Batches of a recalibration: with more, the validation error changes by 0.001 (``experiments/batchnorm``)."""


@torch.no_grad()
def recalibrate(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running mean and variance of every BatchNorm by the plain averages over ``batches``.

    Nothing else of the network changes, and nothing is learned. Its mode stays as it was.

    Args:
        net: any network.
        batches: what it is given, (B, 3, S, S) each, on its device.
    """
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    modes, momenta = {m: m.training for m in net.modules()}, [norm.momentum for norm in norms]
    net.eval()  # dropout and the like are left out
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
    try:
        for images in batches:
            net(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode
