"""Seeds derived from one seed by name, so that a random draw depends on *what* it is for and not on what was
drawn before. That is what makes a resumed search equal to one that was never stopped: there is no RNG state
to restore for batches, masks, dropout or initial weights."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for ``purpose`` (such as ``"mask"``) and its counters (such as the step).

    A purpose always has the same number of counters: trailing zeros do not count.
    """
    entropy = [seed, zlib.crc32(purpose.encode()), *counters]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


_cuda_in_use: Callable[[], bool] = torch.cuda.is_initialized  # asking does not bring CUDA up


@contextmanager
def seeded(seed: int, purpose: str, *counters: int) -> Iterator[None]:
    """Run a block under torch's global RNG seeded for ``purpose``; the RNG (CPU, and CUDA if in use) is put back.

    The RNG is the process's: no other thread may draw from it meanwhile.
    """
    devices = [torch.cuda.current_device()] if _cuda_in_use() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(seed, purpose, *counters))
        yield
