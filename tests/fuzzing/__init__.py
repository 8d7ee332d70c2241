"""Broken files for every parser of autofr: only clear errors may come of them, and nothing may be executed."""

from tests.fuzzing.feeding import Outcome, fuzz
from tests.fuzzing.target import Target
from tests.fuzzing.targets import TARGETS

__all__ = ["TARGETS", "Outcome", "Target", "fuzz"]
