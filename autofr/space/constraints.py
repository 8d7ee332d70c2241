"""Budgets of a search space: what a network may cost. Architectures beyond them are never sampled."""

from __future__ import annotations

import math
from typing import Protocol

from autofr.exceptions import AutofrError


class Constraint(Protocol):
    """An upper limit on what a network costs.

    Attributes:
        limit: the largest cost allowed.
        measured: whether the cost is timed (and so dear to know) rather than counted.
    """

    limit: float
    measured: bool

    def cost(self, backbone: str, image_size: int, embedding_dim: int) -> float:
        """What the network of that name costs, in the unit of ``limit``."""


def name_of(constraint: Constraint) -> str:
    """What tells a constraint from others, in a run's configuration and in errors: the same in every process."""
    if type(constraint).__repr__ is not object.__repr__:
        return repr(constraint)
    about = {"limit": constraint.limit, **vars(constraint)}
    return f"{type(constraint).__name__}({', '.join(f'{name}={value!r}' for name, value in about.items())})"


class _Counted:
    measured = False

    def __init__(self, limit: float) -> None:
        self.limit = _positive(type(self).__name__, limit)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.limit:.15g})"


class MaxParams(_Counted):
    """At most so many parameters (weights that are trained; BatchNorm's averages are none).

    Args:
        limit: parameters, above 0.
    """

    def cost(self, backbone: str, image_size: int, embedding_dim: int) -> float:
        from autofr.backbones.costs import params

        return params(backbone, image_size, embedding_dim)


class MaxFLOPs(_Counted):
    """At most so many floating point operations an image, as torch's own counter counts them: convolutions and matrix
    products, a multiply-add as two. (Papers on mobile networks often count it as one.)

    Args:
        limit: operations, above 0.
    """

    def cost(self, backbone: str, image_size: int, embedding_dim: int) -> float:
        from autofr.backbones.costs import flops

        return flops(backbone, image_size, embedding_dim)


class MaxLatency:
    """At most so many milliseconds an image, batch 1, in the median: timed once on each machine, and remembered.

    Args:
        milliseconds: above 0.
        device: ``cpu``, ``cuda`` or ``cuda:N``, of the machine that searches.
        threads: of the CPU, 1 or more.
    """

    measured = True

    def __init__(self, milliseconds: float, device: str = "cpu", threads: int = 1) -> None:
        self.limit = _positive("MaxLatency", milliseconds)
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise AutofrError(f"MaxLatency: threads is a whole number, 1 or more, got {threads!r}")
        if not isinstance(device, str):
            raise AutofrError(f"MaxLatency: device is a name such as cpu or cuda, got {device!r}")
        self.device, self.threads = device, threads

    def cost(self, backbone: str, image_size: int, embedding_dim: int) -> float:
        from autofr.backbones.costs import latency

        return latency(backbone, image_size, embedding_dim, self.device, self.threads)

    def __repr__(self) -> str:
        return f"MaxLatency({self.limit:.15g}, {self.device}, {self.threads})"


def _positive(name: str, limit: float) -> float:
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < math.inf:
        raise AutofrError(f"{name} has a limit above 0, a finite number, got {limit!r}")
    return float(limit)
