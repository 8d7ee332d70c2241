"""Uniform choice every generation: what a search must beat."""

from __future__ import annotations

from autofr.policies.base import CategoricalPolicy


class Random(CategoricalPolicy):
    """Draws every option with equal probability and learns nothing from rewards."""
