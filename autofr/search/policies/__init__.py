"""Policies: one file each. ``POLICIES`` names those that ``--policy`` takes."""

from __future__ import annotations

from collections.abc import Callable

from autofr.exceptions import unknown
from autofr.search.policies.base import CategoricalPolicy, Policy
from autofr.search.policies.fixed import Fixed
from autofr.search.policies.lfs import LFS
from autofr.search.policies.random import Random
from autofr.spaces import SearchSpace

POLICIES: dict[str, Callable[[SearchSpace, int, int], Policy]] = {
    "lfs": lambda space, seed, warmup: LFS(space, seed, warmup=warmup),
    "random": lambda space, seed, warmup: Random(space, seed),
    "fixed": lambda space, seed, warmup: Fixed(space, seed),
}


def create_policy(name: str, space: SearchSpace, seed: int, warmup: int = 2) -> Policy:
    """The policy called ``name``, over ``space``.

    Args:
        name: a key of :data:`POLICIES`.
        space: what may be chosen.
        seed: seed of the draws.
        warmup: generations at the start in which margins are still ramped in; a policy that learns sits them out.

    Raises:
        AutofrError: no such policy (the nearest names are offered), or it cannot serve this space.
    """
    if name not in POLICIES:
        raise unknown("policy", name, POLICIES)
    return POLICIES[name](space, seed, warmup)


__all__ = ["LFS", "POLICIES", "CategoricalPolicy", "Fixed", "Policy", "Random", "create_policy"]
