"""Cosines of angles that a margin has changed, exact in value and gradient and never rising in the angle."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sine(cosine: Tensor) -> Tensor:
    """sin θ from cos θ for θ in [0, π], with a gradient that stays finite at both ends.

    The floor is 1e-6 under the root (θ within 1e-3 rad of an end): below it, 1 - cos² in float32 is rounding.
    """
    return torch.sqrt((1 - cosine * cosine).clamp_min(1e-6))


def add_angle(cosine: Tensor, m: float | Tensor) -> Tensor:
    """cos(θ + m) from cos θ, going on beyond both ends of the cosine's fall.

    The gradient is exact: the slope in cos θ is sin(θ + m)/sin θ, where an ``acos`` on detached values gives 1. Past
    θ + m = π, where the cosine would rise again, it goes on as -2 - cos(θ + m), and before θ + m = 0 (a negative m)
    as 2 - cos(θ + m); both join smoothly.

    Args:
        cosine: (B,) in [-1, 1].
        m: margin in radians, -π to π; a number or (B,).
    """
    if not isinstance(m, Tensor):  # no tensor is made of it: that would wait for the device
        shifted = cosine * math.cos(m) - sine(cosine) * math.sin(m)
        if m >= 0:
            return torch.where(cosine >= -math.cos(m), shifted, -2 - shifted)
        return torch.where(cosine <= math.cos(m), shifted, 2 - shifted)
    cos_m, sin_m = torch.cos(m), torch.sin(m)
    shifted = cosine * cos_m - sine(cosine) * sin_m
    shifted = torch.where((m > 0) & (cosine < -cos_m), -2 - shifted, shifted)
    return torch.where((m < 0) & (cosine > cos_m), 2 - shifted, shifted)


def scale_angle(cosine: Tensor, m1: float | Tensor, m2: float | Tensor) -> Tensor:
    """cos(m1·θ + m2) from cos θ, continued past every multiple of π as SphereFace does: (-1)^k cos φ - 2k on
    φ = m1·θ + m2 in [kπ, (k + 1)π] (Liu et al., CVPR 2017).

    Args:
        cosine: (B,) in [-1, 1].
        m1: factor of the angle, 1 or more.
        m2: margin in radians, 0 or more.
    """
    angle = m1 * torch.atan2(sine(cosine), cosine) + m2
    turns = torch.floor(angle.detach() / math.pi)
    return (1 - 2 * (turns % 2)) * torch.cos(angle) - 2 * turns
