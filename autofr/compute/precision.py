"""Mixed precision: the network in half of the bits, all that adds up in all of them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from autofr.compute.mesh import ALONE, Mesh
from autofr.exceptions import AutofrError

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """How a network computes: ``fp32``, or under autocast in ``bf16`` or ``fp16``. Embeddings, cosines, losses, weights
    and momentum stay in float32.

    Args:
        name: which.
    """

    name: str

    def context(self, device: torch.device) -> AbstractContextManager[object]:
        """A block in which networks on ``device`` compute so."""
        dtype = PRECISIONS[self.name]
        return nullcontext() if dtype is None else torch.autocast(device.type, dtype)

    def scaler(self, device: torch.device, mesh: Mesh = ALONE) -> torch.amp.GradScaler:
        """What keeps small gradients above fp16's smallest number, and leaves a step out whose gradients overflow (on
        any of the ranks that share a member); for the others it does nothing. It halves its factor after an overflow,
        and doubles it after 2000 steps without."""
        if self.name == "fp16" and mesh.data > 1:
            from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler

            return ShardedGradScaler(device.type, process_group=mesh.partners)
        return torch.amp.GradScaler(device.type, enabled=self.name == "fp16")


def check_compiler(device: torch.device) -> None:
    """Nothing, if ``torch.compile`` works here.

    Raises:
        AutofrError: it does not: there is no C++ compiler, say.
    """
    try:
        torch.compile(lambda x: x * 2 + 1)(torch.ones(8, device=device))
    except Exception as error:  # of whatever the compiler's parts raise
        told = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise AutofrError(f"--compile: torch.compile does not work here ({told}); leave it out") from error
