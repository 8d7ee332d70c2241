"""Scale pixels as backbones take them."""

from __future__ import annotations

import torch
from torch import Tensor


def normalise(images: Tensor) -> Tensor:
    """Images in [0, 1] to what backbones take: [-1, 1], channels_last."""
    return ((images - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)
