"""Patience with MLflow's process."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def patient(patience: None) -> None:
    """See ``patience``."""
