"""Policies: one file each. ``POLICIES`` names those that ``--policy`` takes."""

from __future__ import annotations

from collections.abc import Callable

from autofr.policies.base import CategoricalPolicy, Policy
from autofr.policies.exp3 import Exp3
from autofr.policies.fixed import Fixed
from autofr.policies.lfs import LFS
from autofr.policies.lfs_gaussian import LFSGaussian
from autofr.policies.optuna import OptunaPolicy
from autofr.policies.random import Random
from autofr.policies.thompson import Thompson
from autofr.registry import build
from autofr.space.space import SearchSpace

VERSION = 3
"""Raised when a policy of the same name and settings would choose otherwise: a run made before cannot be resumed."""

POLICIES: dict[str, Callable[..., Policy]] = {
    "exp3": Exp3,
    "fixed": Fixed,
    "lfs": LFS,
    "lfs_gaussian": LFSGaussian,
    "optuna": OptunaPolicy,
    "random": Random,
    "thompson": Thompson,
}
"""Makers of policies by name. Each takes ``space`` and ``seed``, ``warmup`` if it can wait, and its own settings."""


def create_policy(spec: str, space: SearchSpace, seed: int, warmup: int = 2) -> Policy:
    """The policy that ``spec`` describes, over ``space``.

    Args:
        spec: a key of :data:`POLICIES`, with settings or without: ``lfs:lr=0.1,replacement=True``.
        space: what may be chosen.
        seed: seed of the draws.
        warmup: generations at the start in which margins are still ramped in; a policy that learns sits them out.

    Raises:
        AutofrError: no such policy (the nearest names are offered) or setting, or it cannot serve this space.
    """
    return build("policy", spec, POLICIES, {"space": space, "seed": seed}, {"warmup": warmup})


__all__ = [
    "LFS",
    "POLICIES",
    "VERSION",
    "CategoricalPolicy",
    "Exp3",
    "Fixed",
    "LFSGaussian",
    "OptunaPolicy",
    "Policy",
    "Random",
    "Thompson",
    "create_policy",
]
