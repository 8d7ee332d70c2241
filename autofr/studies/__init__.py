"""Optuna outside: a study over what members of a population cannot share, each trial a short search."""
