"""Broken files for every parser of autofr: only clear errors may come of them, and nothing may be executed."""

from autofr.testing.fuzzing.feeding import Outcome, fuzz
from autofr.testing.fuzzing.target import Target
from autofr.testing.fuzzing.targets import TARGETS

__all__ = ["TARGETS", "Outcome", "Target", "fuzz"]
