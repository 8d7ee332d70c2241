"""Contracts as test suites: inherit one, give it your class, and pytest checks what autofr relies on."""

from autofr.testing.killing import KillContract
from autofr.testing.losses import LossContract
from autofr.testing.policies import PolicyContract, RangePolicyContract

__all__ = ["KillContract", "LossContract", "PolicyContract", "RangePolicyContract"]
