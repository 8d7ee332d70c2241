"""Folders of the repository that tests read."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
RANKS = REPOSITORY / "tests" / "ranks"
"""Scripts that torchrun starts; each names its test."""
