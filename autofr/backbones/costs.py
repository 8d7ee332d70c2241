"""What a network costs: parameters, operations, milliseconds. Counted by torch, timed here, remembered by machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch import nn

from autofr.backbones import BACKBONES, create_backbone, is_own, without_numbers
from autofr.compute.device import pick_device
from autofr.exceptions import AutofrError
from autofr.io.files import read_json, write_json

COSTS = ("params", "flops", "latency")
"""What error can be weighed against."""
_SECONDS, _WARM_UP = 0.3, 0.1
"""How long a network is timed, and before that run untimed."""


def cost(kind: str, backbone: str, image_size: int, embedding_dim: int) -> float:
    """What a network costs, by a ``kind`` of :data:`COSTS`; latency is on one thread of the CPU."""
    figure: Callable[[str, int, int], float] = {"params": params, "flops": flops, "latency": latency}[kind]
    return figure(backbone, image_size, embedding_dim)


def params(backbone: str, image_size: int, embedding_dim: int) -> float:
    """Number of its parameters."""
    return _looked_at(backbone, image_size, embedding_dim, _maker(backbone)).params


def flops(backbone: str, image_size: int, embedding_dim: int) -> float:
    """Floating point operations an image by ``torch.utils.flop_counter``: a multiply-add is two; convolutions and
    matrix products are counted, what is done to each element alone is not."""
    return _looked_at(backbone, image_size, embedding_dim, _maker(backbone)).flops


def shapes(backbone: str, image_size: int, embedding_dim: int) -> dict[str, torch.Size]:
    """The shapes of its tensors, by name.

    Raises:
        AutofrError: there is no such network, for such images and embeddings.
    """
    return _looked_at(backbone, image_size, embedding_dim, _maker(backbone)).shapes


def latency(backbone: str, image_size: int, embedding_dim: int, device: str = "cpu", threads: int = 1) -> float:
    """Milliseconds of one image through the network in evaluation mode, batch 1, in the median.

    Args:
        backbone: its name.
        image_size: pixels.
        embedding_dim: of its output.
        device: where it runs.
        threads: of the CPU that it may use.

    Raises:
        AutofrError: no such device.
    """
    place = pick_device(device)
    where = [*_machine(place), threads, torch.__version__]
    return _remembered(
        backbone,
        [image_size, embedding_dim, where],
        lambda: _timed(
            create_backbone(backbone, image_size, embedding_dim).to(place).eval(), image_size, place, threads
        ),
    )


class _Look(NamedTuple):
    params: float
    flops: float
    shapes: dict[str, torch.Size]


def _maker(backbone: str) -> object:
    """What makes the network: a name may be registered anew."""
    return BACKBONES.get(backbone.partition(":")[0].strip())


@lru_cache(2**15)
def _looked_at(backbone: str, image_size: int, embedding_dim: int, maker: object) -> _Look:
    del maker  # it is there to be remembered by
    from torch.utils.flop_counter import FlopCounterMode

    net = without_numbers(backbone, image_size, embedding_dim)
    net = (create_backbone(backbone, image_size, embedding_dim) if net is None else net).eval()
    device = next(net.parameters()).device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, image_size, image_size, device=device))
    found = {name: tensor.shape for name, tensor in net.state_dict().items()}
    return _Look(float(sum(p.numel() for p in net.parameters())), float(counter.get_total_flops()), found)


def _timed(net: nn.Module, image_size: int, device: torch.device, threads: int) -> float:
    image = torch.zeros(1, 3, image_size, image_size, device=device).contiguous(memory_format=torch.channels_last)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    times: list[float] = []
    try:
        with torch.inference_mode():
            started = time.perf_counter()
            while time.perf_counter() - started < _WARM_UP + _SECONDS or len(times) < 5:
                first = time.perf_counter()
                net(image)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                if first - started > _WARM_UP:
                    times.append(time.perf_counter() - first)
    finally:
        torch.set_num_threads(before)
    return 1000 * median(times)


def _machine(device: torch.device) -> list[str]:
    """What decides how long a network takes, as far as it can be told."""
    model = platform.processor()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return [platform.node(), platform.machine(), model, str(os.cpu_count()), name]


def _remembered(backbone: str, about: list[object], measure: Callable[[], float]) -> float:
    """Milliseconds from ``$XDG_CACHE_HOME/autofr/costs``, or measured and put there. A network of the user's own is
    measured each time: its code may have changed."""
    if not is_own(backbone):
        return measure()
    key = json.dumps([backbone, *about])
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autofr" / "costs"
    file = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    with suppress(AutofrError, OSError):
        found = read_json(file)
        if isinstance(found, dict) and found.get("key") == key and isinstance(found.get("value"), float):
            return float(found["value"])
    value = measure()
    with suppress(OSError):  # nowhere to remember it
        folder.mkdir(parents=True, exist_ok=True)
        write_json(file, {"key": key, "value": value})
    return value
