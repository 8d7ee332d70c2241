"""Which device to run on, and the way there."""

from __future__ import annotations

import torch
from torch import Tensor

from autofr.exceptions import AutofrError, UnknownNameError


def pick_device(name: str) -> torch.device:
    """The device called ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        AutofrError: it is not here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UnknownNameError("device", name, ("auto", "cpu", "cuda")) from error
    if device.type not in ("cpu", "cuda"):
        raise AutofrError(f"device '{name}' is not supported; take auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise AutofrError(f"no CUDA device for '{name}': torch sees {torch.cuda.device_count()}; take --device cpu")
    return device


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``; the copy to a GPU runs beside what the GPU is at."""
    return tensor.to(device) if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
