"""LFS with a moving baseline: a candidate that lost, and so is not in the library."""

from __future__ import annotations

import numpy as np

from autofr.policies.base import Floats
from autofr.policies.lfs import LFS


class MovingLFS(LFS):
    """LFS whose rewards are compared with moving averages of mean and spread over the generations before."""

    past: tuple[float, ...] = ()

    def advantages(self, rewards: Floats, known: Floats) -> Floats:
        """Return ``rewards`` against the averages so far, which then take in the ``known`` ones."""
        mean, spread = self.past or (float(rewards.mean()), float(np.ptp(rewards)))
        latest = [float(known.mean()), float(np.ptp(known))]
        self.past = tuple(0.7 * old + 0.3 * new for old, new in zip(self.past or latest, latest, strict=True))
        return np.asarray(2 * (rewards - mean) / (spread + 1e-6))
