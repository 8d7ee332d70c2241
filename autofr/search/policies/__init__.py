"""Policies: one file each. ``POLICIES`` names those that ``--policy`` takes."""

from __future__ import annotations

from collections.abc import Callable

from autofr.exceptions import unknown
from autofr.search.policies.base import CategoricalPolicy, Policy
from autofr.search.policies.fixed import Fixed
from autofr.search.policies.lfs import LFS
from autofr.search.policies.random import Random
from autofr.spaces import SearchSpace

POLICIES: dict[str, Callable[[SearchSpace, int], Policy]] = {"lfs": LFS, "random": Random, "fixed": Fixed}


def create_policy(name: str, space: SearchSpace, seed: int) -> Policy:
    """The policy called ``name``, over ``space``.

    Raises:
        AutofrError: no such policy (the nearest names are offered), or it cannot serve this space.
    """
    if name not in POLICIES:
        raise unknown("policy", name, POLICIES)
    return POLICIES[name](space, seed)


__all__ = ["LFS", "POLICIES", "CategoricalPolicy", "Fixed", "Policy", "Random", "create_policy"]
