"""Numbers that are always the same, on the device: handed over each time, they would have the CPU wait for a GPU."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor

Numbers: TypeAlias = "tuple[float, ...] | tuple[tuple[float, ...], ...]"


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # what is kept must also serve calls that need gradients
def constant(values: Numbers, device: torch.device) -> Tensor:
    """``values`` as float32."""
    return torch.tensor(values, device=device, dtype=torch.float32)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def places(values: tuple[int, ...], device: torch.device) -> Tensor:
    """``values`` as int64, to look up by."""
    return torch.tensor(values, device=device)
